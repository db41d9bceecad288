"""Encode the declared fields of users, items and events as numbers.

Start reading at `tables.py`. Everything is fitted on the training part only.
"""
