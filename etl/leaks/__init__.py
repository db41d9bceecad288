"""Check on a sample of users and items that no row depends on later events.

Start reading at `check.py`.
"""
