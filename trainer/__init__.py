"""Training: from committed shards to a bundle of weights."""
