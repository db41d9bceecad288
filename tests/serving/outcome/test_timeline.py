from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from conf.workspace.publications import Publication, in_canary
from serving.outcome.timeline import NO_VERSION, Stretch, Timeline, stretches_of

START = datetime(2026, 2, 1, tzinfo=UTC)
MICROSECONDS = int(START.timestamp()) * 1_000_000
MINUTE = 60_000_000
USERS = pa.array([f"u{number}" for number in range(50)])


def published(*entries: tuple[str, int, float]) -> list[Publication]:
    """Return a history, newest first, from id, minute and share, oldest first."""
    return [
        Publication(name, number, START + timedelta(minutes=minute), share)
        for number, (name, minute, share) in enumerate(entries)
    ][::-1]


def seen(history: list[Publication], minute: int) -> list[str | None]:
    """Return the version that each user sees."""
    timeline = Timeline(stretches_of(history), USERS, "shop")
    users = np.arange(len(USERS))
    at = timeline.stretch_at(np.full(len(users), MICROSECONDS + minute * MINUTE))
    found = timeline.version_at(at, users)
    return [None if number == NO_VERSION else timeline.versions[number] for number in found]


def test_each_version_is_seen_until_the_next_one() -> None:
    history = published(("a", 0, 1), ("b", 10, 1), ("a", 20, 1))

    assert [set(seen(history, minute)) for minute in (-1, 0, 9, 10, 19, 20, 99)] == [
        {None}, {"a"}, {"a"}, {"b"}, {"b"}, {"a"}, {"a"},
    ]  # fmt: skip


def test_users_outside_a_canary_keep_what_was_current_before() -> None:
    history = published(("a", 0, 1), ("b", 10, 0.3), ("c", 20, 0.6), ("d", 30, 1))
    small, large = in_canary(USERS, 0.3, "shop"), in_canary(USERS, 0.6, "shop")

    assert seen(history, 5) == ["a"] * 50
    assert seen(history, 15) == ["b" if one else "a" for one in small]
    assert seen(history, 25) == ["c" if one else "a" for one in large]
    assert seen(history, 35) == ["d"] * 50
    assert 0 < small.sum() < large.sum() < 50


def test_a_canary_before_any_version_leaves_the_others_without() -> None:
    is_in = in_canary(USERS, 0.5, "shop")

    assert seen(published(("a", 0, 0.5)), 5) == ["a" if one else None for one in is_in]


def test_what_is_replaced_within_its_second_was_never_seen() -> None:
    assert [one.base for one in stretches_of(published(("a", 0, 1), ("b", 0, 1)))] == ["b"]
    [only] = stretches_of(published(("a", 0, 1), ("b", 0, 0.3)))
    assert (only.base, only.canary) == ("a", "b")


def test_the_versions_of_some_days_are_known() -> None:
    history = published(("a", 0, 1), ("b", 10, 0.5), ("c", 20, 1))
    timeline = Timeline(stretches_of(history), USERS, "shop")

    def current(start: int, end: int) -> set[str]:
        first, last = (MICROSECONDS + minute * MINUTE for minute in (start, end))
        return {timeline.versions[number] for number in timeline.current_in(first, last)}

    assert current(-9, 0) == set()
    assert current(0, 10) == {"a"}
    assert current(12, 13) == {"a", "b"}
    assert current(15, 99) == {"a", "b", "c"}
    assert current(50, 99) == {"c"}
    assert timeline.stretches[1] == Stretch(MICROSECONDS + 10 * MINUTE, "a", "b", 0.5)
