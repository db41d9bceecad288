"""Configuration, the contracts on disk and the command: what every stage shares."""
