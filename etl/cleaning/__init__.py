"""Judge and store every row, and account for each row in the ledger.

Start reading at `judge.py`.
"""
