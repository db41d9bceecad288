"""Damaged workspaces: whatever is wrong with a file, it is told, and no other value is read."""
