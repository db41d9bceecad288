"""Impressions, one row each: labels, context, negatives, counts as of the day.

Start reading at `rows.py`.
"""
