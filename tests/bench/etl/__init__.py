"""The ETL: cost by the size of the log, and compared with the same features in Polars."""
