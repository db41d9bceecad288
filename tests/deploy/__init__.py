"""Tests of the examples in `conf/deploy`."""
