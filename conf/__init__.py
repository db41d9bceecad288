"""What all stages share: the configuration, the contracts on disk and the command."""

__version__ = "0.1.0"
