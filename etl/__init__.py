"""The ETL stage: reads raw events, writes Parquet shards with a manifest. Uses Spark only."""
