"""Users and items that are none: placeholders for a missing id, guests under one id."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from conf.contract import ITEM_ID, USER_ID
from etl.cleaning.accounting.id_forms import find_twins, shown
from etl.spark.columns import NUM_EVENTS
from etl.spark.texts import placeholder_pattern

_PLACEHOLDER = placeholder_pattern("unknown", "anonymous", "guest", "object object")
_ZEROS = r"^0+(?:-0+)+$"  # a UUID of zeros
_HEAVY, _FEW_USERS = 0.1, 20
_MOST_NAMED = 20
_MOST_COMPARED, _FEW_TWINS, _SHARE_OF_TWINS = 200_000, 3, 0.01


def odd_id_warnings(folder: Path, num_events: int) -> tuple[str, ...]:
    """Return warnings about ids that stand for no user or item.

    Args:
        folder: Folder of the dataset, with `users/` and `items/`.
        num_events: Number of events of all users.
    """
    return (
        *_placeholders(folder / "users", USER_ID, "user_id"),
        *_placeholders(folder / "items", ITEM_ID, "item_id"),
        *_heavy_user(folder / "users", num_events),
        *_twins(folder / "users", USER_ID, "user"),
        *_twins(folder / "items", ITEM_ID, "item"),
    )


def _placeholders(folder: Path, column: str, name: str) -> Iterator[str]:
    found: list[str] = []
    for ids in _columns(folder, column):
        is_odd = pc.match_substring_regex(ids, f"(?:{_PLACEHOLDER})|(?:{_ZEROS})")
        found += ids.filter(is_odd).to_pylist()
    if found:
        told = ", ".join(repr(text) for text in sorted(found)[:_MOST_NAMED])
        more = len(found) - _MOST_NAMED
        verbs = "looks like a missing id, but counts as one; add it"
        if len(found) > 1:
            verbs = "look like missing ids, but count as ids; add them"
        yield (
            f"{name} {told}{f' and {more} more' if more > 0 else ''} {verbs} to null_values of the "
            "input, and such rows are quarantined"
        )


def _heavy_user(folder: Path, num_events: int) -> Iterator[str]:
    """Yield a warning if one user has a large share of the events; the id is not shown."""
    most = users = 0
    for counts in _columns(folder, NUM_EVENTS):
        users += len(counts)
        most = max(most, pc.max(counts).as_py() or 0)
    if users >= _FEW_USERS and most > _HEAVY * num_events:
        yield (
            f"one user has {most:,} of {num_events:,} events ({most / num_events:.0%}): if that is "
            "a placeholder for guests or a test account, add its id to null_values of the input, "
            "or set etl.clean.max_events_per_user"
        )


def _twins(folder: Path, column: str, kind: str) -> Iterator[str]:
    """Yield a warning if several ids differ from another one only in how they are written."""
    ids: list[str] = []
    for part in _columns(folder, column):
        ids += part.cast(pa.string()).to_pylist()
        if len(ids) > _MOST_COMPARED:
            break
    found = find_twins(ids[:_MOST_COMPARED])
    if found is None or found.number < max(_FEW_TWINS, _SHARE_OF_TWINS * len(ids)):
        return
    first, other = map(shown, found.example)
    yield (
        f"{found.number:,} {kind} ids differ from another one only in {found.told}, as {first} and "
        f"{other}: if they are the same {kind}, the history is in two parts; have them written in "
        "one way"
    )


def _columns(folder: Path, name: str) -> Iterator[pa.Array]:
    for path in sorted(folder.glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(columns=[name]):
            yield batch.column(0)
