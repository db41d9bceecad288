"""One run: find the input, see what is already done, do the rest, publish.

Start reading at `stages.py`. Stages are called by name, so nothing heavy is imported early.
"""
