"""Rank held-out events and compute figures, segments, intervals, costs and checks of reasons.

Start reading at `figures.py`.
"""
