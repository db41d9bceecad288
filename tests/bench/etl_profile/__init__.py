"""Where the CPU seconds of one ETL run go: by execution, by thread of the JVM, by kind of work."""
