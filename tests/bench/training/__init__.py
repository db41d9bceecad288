"""Training: the stream, the loop, optimisers of large catalogues."""
