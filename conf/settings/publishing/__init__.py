"""Sections about what happens with lists that are made: their way to readers, their outcome."""
