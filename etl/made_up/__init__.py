"""A made-up shop's log with known faults. No other room uses it."""
