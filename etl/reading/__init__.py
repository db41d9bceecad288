"""Files of any supported format, read as rows of text, each with the file that it came from.

Start reading at `sources.py`.
"""
