"""Keys, pseudonyms, encrypted texts, erased users and who learned from them, the quarantine.

Spark ships `sealing.py` to its executors as a whole, so it imports no other module of Headrace.
"""
