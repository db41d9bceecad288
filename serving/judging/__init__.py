"""Measure lists, as they would be published, on held-out events.

Start reading at `judge.py`.
"""
