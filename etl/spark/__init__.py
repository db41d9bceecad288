"""The Spark session, column names, times, texts, and files with reproducible bytes."""
