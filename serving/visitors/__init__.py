"""Lists for users who came after the dataset, without ETL and training.

Start reading at `pipeline.py`, which goes from the files of a command to a file of lists.
"""
