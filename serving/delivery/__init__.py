"""Deliver the current lists to databases, stores and folders.

Start reading at `deliver.py`; `versions.py` says what a target holds and what may replace it.
"""
