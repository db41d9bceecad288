"""Ranks of held-out events and what follows from them: figures, segments, bounds, costs, reasons.

Start reading at `figures.py`.
"""
