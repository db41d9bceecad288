"""Channels against what each should name by brute force."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from conf.contract import HISTORY_ITEMS, NO_ITEM, NUM_RESERVED, USER_IDX
from conf.errors import VersionError
from conf.settings.train import Train
from serving.ranking.channels import OrderedChannel, WholeCatalogue
from serving.ranking.orders import by_field, overall, user_groups
from serving.rules.allowed import Allowed, HistoryRules
from serving.rules.history import seen_items
from tests.serving.impression_shop import write_shop
from tests.trainer.small_parts import ragged
from trainer.data.columns import Ragged
from trainer.models.fit_source import FitSource

HISTORIES = ragged([[2, 3, 2], [], [5]])
USERS = np.array([2, 3, 4])


class WithoutItem:
    """Rules that leave out an item for everybody, and what each user has seen."""

    def __init__(self, histories: Ragged, item: int, size: int) -> None:
        self.histories = histories
        self.kept = np.setdiff1d(np.arange(NUM_RESERVED, size), [item])

    def allowed(self, rows: np.ndarray) -> Allowed:
        return Allowed(seen_items(self.histories, rows))


def ordered(orders: list[list[int]], groups: list[int], count: int = 2) -> OrderedChannel:
    pool = np.zeros(8, dtype=bool)
    pool[np.concatenate(orders)] = True
    return OrderedChannel("o", count, pool, [np.array(o) for o in orders], np.array(groups))


def test_an_order_goes_on_after_what_was_seen() -> None:
    channel = ordered([[3, 5, 2, 6]], [0] * 5)
    part = channel.for_part(HISTORIES, USERS)
    rules = HistoryRules(HISTORIES, drop_seen=True)
    assert part.names(np.array([2, 0, 1]), rules).item_idx.tolist() == [[3, 2], [5, 6], [3, 5]]
    kept = HistoryRules(HISTORIES, drop_seen=False)
    assert part.names(np.array([0]), kept).item_idx.tolist() == [[3, 5]]


def test_each_group_has_its_order_and_rules_act_before_the_cut() -> None:
    channel = ordered([[2, 3], [5, 6, 7]], [0, 0, 1, 0, 1])
    part = channel.for_part(HISTORIES, USERS)
    named = part.names(np.arange(3), WithoutItem(HISTORIES, 6, 8))
    assert named.item_idx.tolist() == [[5, 7], [2, 3], [7, NO_ITEM]]


def test_the_whole_catalogue_is_named_but_what_is_not_allowed() -> None:
    pool = np.array([False, False, True, True, False, True, True])
    named = WholeCatalogue("all", pool).names(np.arange(3), WithoutItem(HISTORIES, 6, 7))
    assert [sorted(set(row) - {NO_ITEM}) for row in named.item_idx.tolist()] == [
        [5], [2, 3, 5], [2, 3],
    ]  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> FitSource:
    workspace = tmp_path_factory.mktemp("shop")
    manifest = write_shop(workspace)
    return FitSource(Train(), 1, workspace / "datasets" / manifest.id, manifest)


def counted(source: FitSource, part: str, country: str | None) -> list[tuple[int, int]]:
    """Count the events of the part in plain Python: items by number of events, most first."""
    users = pq.read_table(source.folder / "users").to_pylist()
    theirs = {row[USER_IDX] for row in users if country is None or row["country"] == country}
    rows = pq.read_table(source.folder / part).to_pylist()
    events = Counter(i for r in rows if r[USER_IDX] in theirs for i in r[HISTORY_ITEMS])
    return sorted(events.items(), key=lambda pair: (-pair[1], pair[0]))


@pytest.mark.parametrize("country", ["a", "b"])
def test_popularity_by_a_field_counts_the_training_part(source: FitSource, country: str) -> None:
    orders = by_field(source, "popularity", "country")
    group = 1 + "ab".index(country)
    expected = [item for item, _ in counted(source, "train", country)]
    assert orders.of_groups[group].tolist() == expected


def test_users_without_a_value_get_the_order_of_all(source: FitSource) -> None:
    orders = by_field(source, "popularity", "country")
    users = pq.read_table(source.folder / "users").to_pylist()
    for row in users:
        expected = {"a": 1, "b": 2, None: 0}[row["country"]]
        assert orders.groups[row[USER_IDX]] == expected
    assert orders.of_groups[0].tolist() == [item for item, _ in counted(source, "train", None)]
    assert orders.of_groups[0].tolist() == overall(source, "popularity").of_groups[0].tolist()


def test_a_refit_counts_all_events(source: FitSource) -> None:
    whole = source._replace(train=Train(refit="everything"), refit=True)
    orders = by_field(whole, "popularity", "country")
    expected = [item for item, _ in counted(source, "histories", "a")]
    assert orders.of_groups[1].tolist() == expected


def test_recent_popularity_by_a_field_weighs_by_age(source: FitSource) -> None:
    """Times in the shop are a day per event from 0 on; the newest of all counts 1."""
    orders = by_field(source, "recent_popularity", "country")
    users = pq.read_table(source.folder / "users").to_pylist()
    theirs = {row[USER_IDX] for row in users if row["country"] == "b"}
    rows = pq.read_table(source.folder / "train").to_pylist()
    newest = max(len(row[HISTORY_ITEMS]) for row in rows) - 1
    sums: dict[int, float] = {}
    for row in rows:
        for day, item in enumerate(row[HISTORY_ITEMS]):
            if row[USER_IDX] in theirs:
                sums[item] = sums.get(item, 0.0) + 2.0 ** ((day - newest) / 30.0)
    expected = sorted(sums, key=lambda item: (-round(sums[item], 9), item))
    found = orders.of_groups[2].tolist()
    assert [round(sums[item], 9) for item in found] == [round(sums[i], 9) for i in expected]
    assert set(found) == set(expected)


def test_a_field_that_the_dataset_lacks_is_an_error_of_the_version(source: FitSource) -> None:
    with pytest.raises(VersionError, match="no field 'region' of users; run headrace etl"):
        user_groups(source, "region")


def test_reserved_numbers_are_in_no_order(source: FitSource, tmp_path: Path) -> None:
    for kind in ("popularity", "recent_popularity"):
        for order in by_field(source, kind, "country").of_groups:
            assert order.min() >= NUM_RESERVED
