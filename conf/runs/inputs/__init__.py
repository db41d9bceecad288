"""What a version is made from: input files and their hashes, and the keys of requests."""
