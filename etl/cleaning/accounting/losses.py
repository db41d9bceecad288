"""Warnings about large losses: files, logs and event types of which one rule takes most rows."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.settings.etl import Etl
from etl.cleaning.accounting.hints import what_to_do
from etl.cleaning.accounting.ledger import VerdictCount
from etl.spark.columns import DROPPED, QUARANTINED, TYPE_TEXT, VERDICT

UNUSED = DROPPED + "event_type_not_used"
_MOST_RULES, _MOST_PARTS, _MOST_TYPES = 10, 5, 10
_LONGEST_TYPE = 40
# What a date or a person's wish leaves out, and cancellations that did their work; damaged files
# have warnings of their own.
_EXPECTED = {"after_logical_date", "erased", "file_damaged", "cancellation"}
_EXPECTED_OF_TABLES = {*_EXPECTED, "duplicate"}  # a log that serves as a table repeats its ids


def count_unused_types(events: DataFrame) -> list[tuple[str | None, int]]:
    """Return the most frequent types that are not used, with their rows; null: no type."""
    unused = events.where(F.col(VERDICT) == UNUSED)
    if TYPE_TEXT not in events.columns:
        return []
    counts = unused.groupBy(TYPE_TEXT).agg(F.count(F.lit(1)).alias("rows"))
    rows = counts.orderBy(F.desc("rows"), TYPE_TEXT).limit(_MOST_TYPES).collect()
    return [(row[0], row[1]) for row in rows]


def about_unused_types(
    found: Sequence[tuple[str | None, int]], num_rows: int, known: Iterable[str]
) -> str:
    """Return a warning that names the types that are not used.

    Args:
        found: The most frequent ones with their rows; empty if their names are protected.
        num_rows: Rows with such a type.
        known: The types that are used.
    """
    text = f"event_type_not_used: {num_rows} rows have a type that is not in etl.event_types"
    if found:
        text += ": " + ", ".join(f"{_type_name(name)} {rows}" for name, rows in found)
        rest = num_rows - sum(rows for _, rows in found)
        text += f" and other types {rest}" if rest else ""
    like = {_plain(name): name for name in known}
    hints = [
        f"{_type_name(name)} differs from {like[_plain(name)]!r} only in case or spaces; "
        "write it as the log does"
        for name, _ in found
        if name is not None and _plain(name) in like
    ]
    return "; ".join([text, *hints])


def loss_warnings(counts: Sequence[VerdictCount], logs: Sequence[str], etl: Etl) -> list[str]:
    """Return the warnings about large losses of the events.

    Args:
        counts: Number of rows by file, log, type and verdict.
        logs: Names of the logs, by number.
        etl: The section of the configuration.
    """
    parts = _parts(counts, logs, list(etl.event_types))
    return [*_outweighed(counts, etl), *_of_rules(_large_losses(parts, _EXPECTED))]


def table_warnings(counts: Sequence[VerdictCount]) -> list[str]:
    """Return the warnings about large losses of a table."""
    return _of_rules(_large_losses(_parts(counts, (), ()), _EXPECTED_OF_TABLES))


@dataclass(frozen=True)
class _Loss:
    """Rows that one rule takes from a file, a log, a type, or several that are the same rows."""

    rule: str
    name: str
    lost: int
    rows: int


def _parts(
    counts: Sequence[VerdictCount], logs: Sequence[str], types: Sequence[str]
) -> dict[str, list[VerdictCount]]:
    """Return the counts of each file, log and type; those of the same rows have a common name."""
    by_name: dict[tuple[str, str], list[VerdictCount]] = defaultdict(list)
    for count in counts:
        by_name["file", count.file].append(count)
        if count.log is not None:
            by_name["log", logs[count.log]].append(count)
        if count.event_type is not None:
            by_name["type", types[count.event_type]].append(count)
    same_rows: dict[frozenset[int], list[str]] = defaultdict(list)
    counts_of: dict[frozenset[int], list[VerdictCount]] = {}
    for (kind, name), members in by_name.items():
        key = frozenset(map(id, members))
        same_rows[key].append(name if kind == "file" else f"{kind} {name}")
        counts_of[key] = members
    return {_joined(names): counts_of[key] for key, names in same_rows.items()}


def _joined(names: Sequence[str]) -> str:
    first, *others = names
    return f"{first} ({', '.join(others)})" if others else first


def _large_losses(parts: Mapping[str, Sequence[VerdictCount]], expected: set[str]) -> list[_Loss]:
    """Return the losses of more than half of a part; of parts that lose the same rows, one.

    That is the part with the fewest rows; the others are named in its name.
    """
    found: dict[tuple[str, frozenset[int]], list[_Loss]] = defaultdict(list)
    for name, members in parts.items():
        rows = sum(count.rows for count in members)
        lost: dict[str, list[VerdictCount]] = defaultdict(list)
        for count in members:
            if count.verdict is not None:
                lost[count.verdict.removeprefix(DROPPED).removeprefix(QUARANTINED)].append(count)
        for rule, taken in lost.items():
            number = sum(count.rows for count in taken)
            if 2 * number > rows and rule not in expected:
                same = frozenset(map(id, taken))
                found[rule, same].append(_Loss(rule, name, number, rows))
    return sorted(map(_merged, found.values()), key=lambda loss: (-loss.lost, loss.name))


def _merged(losses: Sequence[_Loss]) -> _Loss:
    first, *others = sorted(losses, key=lambda loss: loss.rows)
    if not others:
        return first
    named = " and of ".join(loss.name for loss in others)
    return replace(first, name=f"{first.name}, the same as of {named}")


def _of_rules(losses: Sequence[_Loss]) -> list[str]:
    """Return one warning for each rule, the rule with the largest loss first."""
    by_rule: dict[str, list[_Loss]] = defaultdict(list)
    for loss in losses:
        by_rule[loss.rule].append(loss)
    texts = [_told(rule, members) for rule, members in by_rule.items()]
    rest = len(texts) - _MOST_RULES
    if rest > 0:
        texts[_MOST_RULES:] = [f"{rest} other rules removed more than half of a file or type"]
    return texts


def _told(rule: str, losses: Sequence[_Loss]) -> str:
    named = [f"{loss.lost} of {loss.rows} rows of {loss.name}" for loss in losses[:_MOST_PARTS]]
    rest = len(losses) - len(named)
    named += [f"more than half of {rest} other files, logs or types"] if rest else []
    hint = what_to_do(rule) or "look at these rows in the quarantine"
    return f"{rule} removed {', '.join(named)}; {hint}"


def _outweighed(counts: Sequence[VerdictCount], etl: Etl) -> Iterator[str]:
    """Yield a warning about dropped events that are heavier than the kept one of the same item."""
    lost = Counter[int]()
    for count in counts:
        if count.event_type is not None and count.outweighing:
            lost[count.event_type] += count.outweighing
    types = list(etl.event_types)
    if lost:
        named = ", ".join(f"{types[number]} {rows}" for number, rows in sorted(lost.items()))
        yield (
            f"repeated_item: etl.repeated_items={etl.repeated_items!r} dropped events of a larger "
            f"weight than the one kept of the same user and item: {named}; set it to strongest to "
            "keep those instead"
        )


def _type_name(name: str | None) -> str:
    if name is None:
        return "no type"
    return repr(name if len(name) <= _LONGEST_TYPE else f"{name[:_LONGEST_TYPE]}...")


def _plain(name: str) -> str:
    return "".join(name.casefold().split())
