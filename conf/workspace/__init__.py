"""Versions and the commit rule, the lock, the swap, hashes and Parquet files of a manifest.

Start reading at `versions.py`.
"""
