"""The data report: one HTML file about what came in, what was kept and what changed.

Start reading at `write.py`.
"""
