"""The users whom an item or a segment of items fits best: the lists of items turned round.

Start reading at `worker.py`, which finds the best users of one part, and `merged.py`, which makes
one list of them. `comparable.py` says why scores of different users can be compared.
"""
