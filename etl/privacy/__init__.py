"""Drop, coarsen, pseudonymise or encrypt data before the first row is stored.

Spark sends the whole module `pseudonyms.py` to its executors, so the only module of ours that it
imports is `conf.privacy.sealing`.
"""
