"""Models that score a catalogue, the explanation of their scores, and how models are saved.

`scorer.py` has the interface that all models share.
"""
