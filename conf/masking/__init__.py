"""Secrets: which values of a configuration are some, and texts without them."""
