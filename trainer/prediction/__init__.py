"""What a ranking model says of pairs that are not in the dataset's impressions.

Start reading at `pairs.py`; `predict.py` answers a file.
"""
