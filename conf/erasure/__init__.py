"""Remove people from every version in the workspace.

Start reading at `erase.py`.
"""
