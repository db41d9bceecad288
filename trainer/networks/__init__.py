"""Layers, losses and the batches that they take: pure PyTorch, without files and clusters."""
