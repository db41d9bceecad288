"""Serving: lists for all users from a dataset and a model, checked and published."""
