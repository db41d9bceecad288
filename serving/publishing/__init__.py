"""The Parquet files of lists: written part by part, so an interrupted run goes on."""
