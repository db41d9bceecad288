"""The typed configuration: one file a section, the rules between sections, and loading.

`config.py` holds `Config`, which all other sections hang from.
"""
