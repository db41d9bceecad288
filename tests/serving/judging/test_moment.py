"""The dataset before its held-out events."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from conf.contract import NUM_RESERVED, Manifest
from serving.judging.moment import manifest_at, with_counts_before
from tests.trainer.small_parts import write_dataset
from trainer.networks.fields import FieldSpec
from trainer.prediction.context import Context

TRAIN = [[2, 3, 2], [4, 2, 5, 3], [3, 4], [5]]
VALID, TEST = [4, 6, 2, 3], [6, 6, 6, 6]
NAMES = (
    "item_events_2d", "item_events_all", "item_popularity", "item_age_days", "user_events_2d",
    "user_events_all", "user_popularity", "user_age_days",
)  # fmt: skip
HALF_LIFE = 3.0


def dataset(workspace: Path, **split: str) -> tuple[Path, Manifest]:
    """Write a dataset in which a user's event n happened on day n of 1970, from 0."""
    made = write_dataset(workspace, TRAIN, VALID, TEST, items=5)
    etl = {
        **made.config["etl"],
        "split": {"kind": "leave_one_out", **split},
        "features": {"as_of": {"windows_days": [2], "half_life_days": HALF_LIFE}},
    }
    cuts = {"test_from": "1970-01-04T00:00:00+00:00"} if split else {}
    update = {"config": {**made.config, "etl": etl}, "as_of": "1970-01-06", "cuts": cuts}
    return workspace / "datasets" / made.id, made.model_copy(update=update)


def counted(events: list[tuple[int, int, int]], day: int) -> dict[str, list[float]]:
    """Return counts of events (user, item, day) before a day, in plain Python."""
    found: dict[str, list[float]] = {}
    for prefix, place, size in (("item_", 1, 5), ("user_", 0, 4)):
        rows = [[e for e in events if e[place] == n + NUM_RESERVED] for n in range(size)]
        ages = [[day - e[2] for e in row] for row in rows]
        found[f"{prefix}events_2d"] = [sum(age <= 2 for age in row) for row in ages]
        found[f"{prefix}events_all"] = [len(row) for row in ages]
        found[f"{prefix}popularity"] = [sum(2 ** (-a / HALF_LIFE) for a in row) for row in ages]
        found[f"{prefix}age_days"] = [max(row, default=-1) for row in ages]
    return found


def assert_counts(workspace: Path, manifest: Manifest, expected: dict[str, list[float]]) -> None:
    folder = workspace / "datasets" / manifest.id
    fields = tuple(FieldSpec(name, "numbers", 1, is_count=True) for name in NAMES)
    before = manifest_at(manifest, "test")
    found = with_counts_before(Context(fields, {}, None, NAMES), folder, before, "test")
    assert found.without_value == ()
    for name, values in expected.items():
        known = found.known[name]
        assert known.of == name.split("_")[0]
        scaled = np.sign(values) * np.log1p(np.abs(values))
        assert known.values[NUM_RESERVED:, 0] == pytest.approx(scaled)
        assert (known.values[:, 1] == 1).all()


def test_counts_leave_out_each_users_held_out_event(tmp_path: Path) -> None:
    _, manifest = dataset(tmp_path)
    histories = [[*row, own] for row, own in zip(TRAIN, VALID, strict=True)]
    events = [(u + 2, item, day) for u, row in enumerate(histories) for day, item in enumerate(row)]
    expected = counted(events, day=6)
    assert expected["item_events_all"][4] == 1  # item 6: once in validation, four times in test
    assert_counts(tmp_path, manifest, expected)


def test_counts_of_a_temporal_split_end_at_its_cut(tmp_path: Path) -> None:
    _, manifest = dataset(tmp_path, kind="temporal")
    histories = [[*r, v] for r, v in zip(TRAIN, VALID, strict=True)]
    events = [(u + 2, item, day) for u, row in enumerate(histories) for day, item in enumerate(row)]
    before = [event for event in events if event[2] < 3]
    assert Counter(day for _, _, day in before) == {0: 4, 1: 4, 2: 3}
    assert_counts(tmp_path, manifest, counted(before, day=3))


def test_a_temporal_split_has_the_instant_before_its_cut(tmp_path: Path) -> None:
    _, manifest = dataset(tmp_path, kind="temporal")
    before = manifest_at(manifest, "test")
    assert (before.as_of, before.logical_date) == ("1970-01-03T23:59:59.999999+00:00", "1970-01-03")
    _, other = dataset(tmp_path)
    same = manifest_at(other, "test")
    assert (same.as_of, same.logical_date) == (other.as_of, other.logical_date)


def test_counts_that_cannot_be_known_stay_missing(tmp_path: Path) -> None:
    folder, manifest = dataset(tmp_path, kind="random")
    fields = (FieldSpec(NAMES[0], "numbers", 1, is_count=True),)
    context = Context(fields, {}, None, (NAMES[0],))
    assert with_counts_before(context, folder, manifest, "test") is context
