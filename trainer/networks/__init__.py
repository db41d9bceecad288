"""Layers, losses and their input batches: pure PyTorch, without files or clusters."""
