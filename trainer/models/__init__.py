"""Whatever scores a catalogue, how it explains its scores, and how it is saved.

`scorer.py` has the interface that all of them share.
"""
