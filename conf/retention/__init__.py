"""Which versions of a workspace are kept, and the removal of all others.

Start reading at `plan.py`.
"""
