"""Sections about what is published, where it is delivered to, and what is kept."""
