"""Files that options of a command name, with events or users as the log and its tables have them.

Start reading at `cells.py`.
"""
