"""A list of similar items for every item.

Start reading at `worker.py`, which makes the lists of one part of the items, and `check.py`, which
reads them back.
"""
