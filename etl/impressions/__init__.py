"""One row an impression: labels, context, negatives, counts as of the day.

Start reading at `rows.py`.
"""
