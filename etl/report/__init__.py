"""The data report: one HTML file about the rows read, the rows kept, and recent changes.

Start reading at `write.py`.
"""
