"""Keys, labels, sealed texts, who was erased, and how to read the quarantine.

Spark sends `sealing.py` whole to its executors, so it imports no other module of ours.
"""
