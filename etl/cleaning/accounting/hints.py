"""What to do about the rows that a rule took, for warnings and errors."""

from fnmatch import fnmatchcase

_HINTS = {
    "redelivered_file": "remove the copy, or have the right file delivered",
    "event_type_not_used": "list the types that you want in etl.event_types",
    "below_threshold": "see min_value of the types in etl.event_types",
    "item_excluded": "see etl.clean.item_pattern",
    "outside_window": "see etl.clean.keep_from and etl.clean.keep_to",
    "duplicate": "right if the rows were delivered twice; columns.event_id may be the id of an "
    "event or an order, but not of a visit",
    "near_duplicate": "see etl.clean.duplicate_seconds",
    "repeated_item": "of each user and item one event is kept; see etl.repeated_items: strongest "
    "keeps the one of the largest weight, keep keeps them all",
    "answered": "see etl.impressions.answered_minutes",
    "below_core": "see etl.min_events_per_user and etl.min_events_per_item",
    "item_of_few_users": "see privacy.min_users_per_item",
    "bot*": "see etl.clean.max_events_per_user and its like",
    "cancellation_unmatched": "logs without times have to be listed after the log whose events "
    "they cancel; see etl.clean.cancellations",
    "cancel*": "see etl.clean.cancellations",
    "user_missing": "see columns.user_id and null_values of the log; guests have no id",
    "item_missing": "see columns.item_id and null_values of the log",
    "line_unparsable": "see separator, quote, escape and multiline of the input; in a file of JSON "
    "lines each object is on one line of its own",
    "price_negative": "for returns see etl.clean.cancellations; if other values below zero are "
    "right, etl.clean.allow_negative_value",
    "time_unparsable": "see time_unit of the log, and time_format for texts such as 31.12.2025",
    "time_too_early": "see time_unit of the log: seconds, milliseconds and days of a spreadsheet "
    "look alike; and etl.clean.earliest_time",
    "time_in_future": "see time_unit of the log: seconds and milliseconds look alike; and "
    "etl.clean.latest_time",
    "*_unparsable": "see decimal and thousands of the input; a number has no currency sign",
}
"""By the name of the rule, or a pattern of names; the first that fits."""


def what_to_do(rule: str) -> str | None:
    """Return what to look at or to change, None if nothing is known about the rule."""
    return next((hint for name, hint in _HINTS.items() if fnmatchcase(rule, name)), None)
