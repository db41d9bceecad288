"""Tests of the whole line through the real command."""
