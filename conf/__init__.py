"""Configuration, the contracts on disk and the command: what every stage shares."""

__version__ = "0.1.0"
