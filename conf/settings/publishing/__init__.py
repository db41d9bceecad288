"""Sections about what is published, where it is delivered to, what is kept, and its outcome."""
