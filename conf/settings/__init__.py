"""The typed configuration: one file per section, the rules between sections, and loading.

Start reading at `config.py`: it holds `Config`, which contains all sections.
"""
