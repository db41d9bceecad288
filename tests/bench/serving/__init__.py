"""Lists: search, scoring, reuse, rankers, estimators of outcomes."""
