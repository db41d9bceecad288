"""Sections about what is published, and what is kept."""
