"""Judge every row, store it, and account for each of them in the ledger.

Start reading at `judge.py`.
"""
