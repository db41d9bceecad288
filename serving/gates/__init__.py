"""What written lists must fulfil before they may replace the published ones.

Start reading at `list_counts.py`, which counts, and `verdicts.py`, which judges the counts.
"""
