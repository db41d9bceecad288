"""Tests of `conf`."""
