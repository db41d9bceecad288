"""The ETL stage: raw events in, Parquet shards with a manifest out. Spark, and Spark alone."""
