"""What the page and the printed tables of an outcome share: their words, headers and cells.

A result is that of `headrace outcome`, see `serving.outcome.measure.run`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from conf.pages.text import NOTHING, figure, interval, number, share

Result = dict[str, Any]
ESTIMATORS = {"ips": "IPS", "snips": "SNIPS", "dr": "doubly robust"}
"""Names for people by key of the result."""
BOUNDS = "95% interval"
COMPARED_HEADER = ("canary", "other users", "its rate", "their rate", "difference", BOUNDS, "p")
ESTIMATE_HEADER = (
    "position", "impressions", "with support", *(cell for name in ESTIMATORS.values()
                                        for cell in (name, BOUNDS)),
)  # fmt: skip
LEDGER_HEADER = ("of", "what became of it", "count")
_BREAKDOWNS = {"by_position": "position", "by_channel": "channel", "by_segment": "segment"}


def lists_named(version: str, scenario: str | None, canary: float | None = None) -> str:
    """Return the name of lists.

    Args:
        version: Their version.
        scenario: Their scenario; None: the default lists.
        canary: Share of the users that see them as a canary; None: they are none.
    """
    told = "" if canary is None else f" (canary, {100 * canary:g}%)"
    return f"{version}{told}, {scenario or 'default lists'}"


def days_of(result: Result) -> str:
    """Return the days that count, such as `2026-03-02 to 2026-03-08`."""
    return " to ".join(dict.fromkeys(result["days"]))


def what_counts(counts: Result) -> str:
    """Return what is counted as shown and as acted on, from the entry `counts` of a result."""
    shown = (
        "a whole list, on each day with an event of its user"
        if counts["shown"] is None
        else f"an item of a list with an event of type {counts['shown']}, counted once per user, "
        "day and publication"
    )
    acted = ", ".join(f"{name} (worth {worth:g})" for name, worth in counts["acted"].items())
    return (
        f"Shown: {shown}. Acted on: {acted}, at most {counts['within_hours']:g} hours after it was "
        "shown; of several acts the most valuable counts. Rate: mean worth of an item that was "
        "shown."
    )


def rate_header(counts: Result) -> list[str]:
    """Return the names of the cells of `rate_cells`."""
    is_share = all(worth == 1 for worth in counts["acted"].values())
    shown = "shown" if counts["shown"] is None else f"shown ({counts['shown']})"
    acted = f"acted on within {counts['within_hours']:g} h"
    return ["users", shown, acted, "rate" if is_share else "rate (mean worth)", BOUNDS]


def rate_cells(row: Result, between: str = " to ") -> list[str]:
    """Return the figures of a row of rates.

    Args:
        row: Has `users`, `shown`, `acted`, `rate`, `low` and `high`.
        between: Text between two bounds.
    """
    counts = [number(row[key]) for key in ("users", "shown", "acted")]
    return [*counts, figure(row["rate"]), interval(row, between)]


def rates_named(result: Result) -> dict[str, Result]:
    """Return the rows of rates by the name of their lists."""
    return {
        lists_named(row["version"], row["scenario"], row["canary"]): row
        for row in result["versions"]
    }


def breakdowns(name: str, row: Result) -> Iterator[tuple[str, str, Mapping[Any, Result]]]:
    """Yield a title, what the rows are by, and the rows, of each breakdown of a row of rates."""
    for key, what in _BREAKDOWNS.items():
        if row.get(key):
            yield f"{name}: by {what}", what, row[key]


def compared_cells(row: Result) -> list[str]:
    """Return the cells of `COMPARED_HEADER`."""
    found = row["difference"]
    return [
        lists_named(row["canary"], row["scenario"], row["share"]),
        row["base"],
        *(figure(row[side]["rate"]) for side in ("of_canary", "of_base")),
        figure(found["value"], sign="+"),
        interval(found, sign="+"),
        figure(found["p"], 3),
    ]


def estimate_rows(found: Result, between: str = " to ") -> list[list[str]]:
    """Return the rows of `ESTIMATE_HEADER` of a policy: of all positions, and of each."""
    rows = {"all": found, **{str(place): row for place, row in found["by_position"].items()}}
    return [
        [
            name,
            number(row["places"]),
            number(row["supported"]),
            *(cell for key in ESTIMATORS for cell in _value_cells(row[key], between)),
        ]
        for name, row in rows.items()
    ]


def _value_cells(one: Result | None, between: str) -> tuple[str, str]:
    return (NOTHING, NOTHING) if one is None else (figure(one["value"]), interval(one, between))


def support_told(found: Result) -> str:
    """Return which part of the log the estimates of a policy are of."""
    supported, places = number(found["supported"]), number(found["places"])
    return (
        f"{supported} of {places} impressions ({share(found['support'])}) could have had the item "
        "of these lists; the estimates are of these impressions alone"
    )


def policy_facts(found: Result) -> list[list[str]]:
    """Return how sure the estimates of a policy are, as names and texts."""
    lead, was = found["lead"], found["logged"]
    return [
        ["shown in this scenario", number(found["shown"])],
        *([_spaced(name), number(count)] for name, count in found["left_out"].items()),
        ["impressions with an item of these lists", number(found["places"])],
        ["of these, with support", number(found["supported"])],
        ["support", share(found["support"])],
        ["impressions that had the item of these lists", number(found["matched"])],
        ["effective users", f"{found['effective_users']:,.0f}"],
        ["mean weight (1 if all items could be drawn)", figure(found["mean_weight"], 3)],
        [
            "rate of the lists that were shown, same impressions",
            f"{figure(was['value'])} ({interval(was)})",
        ],
        [
            "lead of these lists (doubly robust)",
            f"{figure(lead['value'], sign='+')} ({interval(lead, sign='+')})",
        ],
        ["p", figure(lead["p"], 3)],
    ]


def ledger_rows(ledger: Mapping[str, Mapping[str, int]]) -> list[list[str]]:
    """Return the rows of `LEDGER_HEADER`."""
    return [
        [what, _spaced(name), number(count)]
        for what, counts in ledger.items()
        for name, count in counts.items()
    ]


def _spaced(name: str) -> str:
    return name.replace("_", " ")
