"""The kinds of lists of a run, seen from where it was started.

Start reading at `prepared.py`, which reads what each kind of lists is made with, and `written.py`,
which reads the written lists back.
"""
