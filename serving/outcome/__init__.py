"""Whether published lists did well: what happened after they were shown, and what others would do.

Start reading at `measure.py`. `timeline.py` knows who was to see which version, `impressions.py`
joins lists with events, `tables.py` with `rates.py` has the figures of what was shown, and
`policy.py` with `estimators.py` those of lists that were not. The words of tables and pages are in
`conf/pages/outcomes.py`.
"""
