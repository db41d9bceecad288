"""From Parquet shards to arrays and batches. Petastorm is used here and nowhere else.

Start reading at `plan.py` and `stream.py`.
"""
