"""Sentences for people that say why an item is in a list, in several languages.

Start reading at `sentences.py`. The numbers that they are made of come from `trainer/models`.
"""
