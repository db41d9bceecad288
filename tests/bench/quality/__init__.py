"""Accuracy on public data, over several seeds, next to baselines and published figures."""
