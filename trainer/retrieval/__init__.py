"""Train the network that scores the whole catalogue.

Start reading at `train.py`.
"""
