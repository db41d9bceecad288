"""The log of a made-up shop, with known faults. No other part of the stage uses it."""
