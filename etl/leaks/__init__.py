"""Prove on a sample of users and items that no row knows the future.

Start reading at `check.py`.
"""
