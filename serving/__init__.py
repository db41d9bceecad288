"""Serving: make lists for all users from a dataset and a model, check and publish them."""
