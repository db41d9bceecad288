"""Remove people from every version that the workspace keeps.

Start reading at `erase.py`.
"""
