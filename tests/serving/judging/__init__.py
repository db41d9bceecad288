"""Tests of `serving.judging`."""
