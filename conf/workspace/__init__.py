"""Versions and how they are committed, the lock, the swap, hashes, Parquet files of a manifest.

Start reading at `versions.py`.
"""
