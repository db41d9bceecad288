"""What is dropped, coarsened, labelled or sealed before the first row is stored.

Spark sends `pseudonyms.py` whole to its executors, so it imports no other module of ours but
`conf.privacy.sealing`.
"""
