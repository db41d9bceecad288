"""Settings of what happens to lists when they are published.

Start reading at `deliver.py`.
"""
