"""The Spark session, column names, times, texts, and files whose bytes depend on the rows alone."""
