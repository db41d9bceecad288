"""What may be in a list and what may not, whoever ranks it.

The gates use `possible.py` to count what each user could have got.
"""
