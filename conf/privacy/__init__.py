"""Keys, pseudonyms, encrypted texts, hashes of erased users, and reading the quarantine.

Spark ships `sealing.py` to its executors as a whole, so it imports no other module of Headrace.
"""
