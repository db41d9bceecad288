import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from conf.contract import RowGroup
from tests.trainer.data.test_stream import write_shards
from trainer.data.columns import Ragged
from trainer.data.plan import Round, batch_sizes, epoch_order, plan_epoch
from trainer.data.stream import read_row_groups

SIZES = (700, 40, 1000, 333, 1, 950, 512)
COUNTS = (1, 3, 7, 40)
WORLDS = (1, 2, 3)


def uneven(num_groups: int) -> list[RowGroup]:
    sizes = [SIZES[number % len(SIZES)] + number for number in range(num_groups)]
    return [
        RowGroup(path=f"train/{number // 4}.parquet", index=number % 4, rows=rows, bytes=8 * rows)
        for number, rows in enumerate(sizes)
    ]


def plan(groups: list[RowGroup], **changes: int) -> list[Round]:
    numbers = {"seed": 7, "epoch": 0, "world_size": 2, "batch_rows_per_rank": 64}
    numbers |= {"block_rows": 1500, **changes}
    return plan_epoch(groups, **numbers)


def groups_of(rounds: list[Round]) -> list[RowGroup]:
    return [group for part in rounds for share in part.groups_by_rank for group in share]


def as_set(groups: list[RowGroup]) -> set[tuple[str, int]]:
    return {(group.path, group.index) for group in groups}


def test_order_depends_on_seed_and_epoch_alone():
    groups = uneven(40)
    order = epoch_order(groups, seed=1, epoch=2)
    assert epoch_order(groups[::-1], seed=1, epoch=2) == order
    assert as_set(order) == as_set(groups) and len(order) == 40
    assert epoch_order(groups, seed=1, epoch=3) != order
    assert epoch_order(groups, seed=2, epoch=2) != order


def test_every_place_is_taken_by_every_group_about_equally_often():
    groups = uneven(4)
    firsts = [epoch_order(groups, seed=0, epoch=epoch)[0].index for epoch in range(2000)]
    assert all(420 < firsts.count(index) < 580 for index in range(4))


def test_order_is_the_same_in_every_release():
    order = epoch_order(uneven(7), seed=0, epoch=0)
    places = [4 * int(group.path[len("train/")]) + group.index for group in order]
    assert places == [1, 4, 3, 6, 5, 0, 2]


@pytest.mark.parametrize("world_size", [*WORLDS, 9])
@pytest.mark.parametrize("num_groups", COUNTS)
def test_a_round_is_dealt_out_whole_and_ends_at_a_prefix(num_groups, world_size):
    groups = uneven(num_groups)
    order = epoch_order(groups, seed=7, epoch=0)
    rounds = plan(groups, world_size=world_size)
    done = 0
    for part in rounds:
        assert len(part.groups_by_rank) == world_size
        dealt = groups_of([part])
        assert as_set(dealt) == as_set(order[done : part.groups_done])
        assert len(dealt) == part.groups_done - done
        for share in part.groups_by_rank:
            places = [order.index(group) for group in share]
            assert places == sorted(places)
        done = part.groups_done
    assert done == num_groups


@pytest.mark.parametrize("num_groups", COUNTS)
def test_a_resumed_plan_of_the_same_world_is_the_rest_of_the_plan(num_groups):
    groups = uneven(num_groups)
    rounds = plan(groups, block_rows=400)
    for number, part in enumerate(rounds, start=1):
        assert plan(groups, block_rows=400, groups_done=part.groups_done) == rounds[number:]


def test_all_rounds_but_the_last_have_the_rows_asked_for_and_no_group_to_spare():
    rounds = plan(uneven(40), world_size=2, block_rows=1000)
    assert len(rounds) > 3
    order = epoch_order(uneven(40), seed=7, epoch=0)
    for part in rounds[:-1]:
        rows = sum(group.rows for group in groups_of([part]))
        assert rows >= 2000
        assert rows - order[part.groups_done - 1].rows < 2000


@pytest.mark.parametrize(("last_rows", "rounds"), [(49, 1), (50, 2)])
def test_a_last_round_below_half_a_block_joins_the_one_before(last_rows, rounds):
    groups = [RowGroup(path="a", index=index, rows=100, bytes=1) for index in range(2)]
    first, second = epoch_order(groups, seed=7, epoch=0)
    groups = [first, second.model_copy(update={"rows": last_rows})]
    assert len(plan(groups, world_size=1, block_rows=100)) == rounds


def test_steps_are_those_of_the_rank_with_most_rows():
    groups = [RowGroup(path="a", index=i, rows=r, bytes=1) for i, r in enumerate([50, 30, 21])]
    (part,) = plan(groups, world_size=2, batch_rows_per_rank=10, block_rows=1000)
    assert [sum(g.rows for g in share) for share in part.groups_by_rank] == [50, 51]
    assert part.steps == 6


def test_ranks_beyond_the_row_groups_get_none_and_take_the_same_steps():
    (part,) = plan(uneven(1), world_size=3)
    assert [len(share) for share in part.groups_by_rank] == [1, 0, 0]
    assert part.steps == math.ceil(700 / 64)


def test_rows_are_balanced_over_ranks():
    for part in plan(uneven(40), world_size=3, block_rows=3000)[:-1]:
        rows = [sum(group.rows for group in share) for share in part.groups_by_rank]
        assert max(rows) - min(rows) <= max(group.rows for group in groups_of([part]))


def test_nothing_to_read_gives_no_rounds():
    assert plan([]) == []
    assert plan(uneven(3), groups_done=3) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"world_size": 0}, "world_size is 0"),
        ({"batch_rows_per_rank": 0}, "batch_rows_per_rank is 0"),
        ({"block_rows": -1}, "block_rows is -1"),
        ({"groups_done": 4}, "groups_done is 4 of 3"),
        ({"groups_done": -1}, "groups_done is -1"),
    ],
)
def test_numbers_out_of_range_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        plan(uneven(3), **changes)


def test_a_row_group_listed_twice_is_refused():
    with pytest.raises(ValueError, match="listed twice"):
        plan([*uneven(3), uneven(1)[0]])


@pytest.mark.parametrize(("rows", "steps"), [(0, 0), (0, 3), (2, 5), (7, 7), (100, 7), (64, 1)])
def test_batches_differ_by_one_row_at_most_and_sum_up(rows, steps):
    each, larger = divmod(rows, steps) if steps else (0, 0)
    sizes = batch_sizes(rows, steps)
    assert Counter(sizes) == Counter([each + 1] * larger + [each] * (steps - larger))
    assert all(type(size) is int for size in sizes)


def test_no_batch_is_larger_than_a_rank_takes():
    for part in plan(uneven(40), world_size=3):
        for share in part.groups_by_rank:
            assert max(batch_sizes(sum(group.rows for group in share), part.steps)) <= 64


@pytest.mark.parametrize(("rows", "steps"), [(5, 0), (1, 0), (-1, 3), (-1, 0), (2, -1), (0, -1)])
def test_rows_without_steps_and_numbers_below_zero_are_refused(rows, steps):
    with pytest.raises(ValueError, match=f"split {rows} rows into {steps} batches"):
        batch_sizes(rows, steps)


def small_plan(groups: list[RowGroup], world_size: int, **changes: int) -> list[Round]:
    return plan(groups, world_size=world_size, batch_rows_per_rank=16, block_rows=150, **changes)


def rows_read(root: Path, rounds: list[Round]) -> list[int]:
    """Return the row numbers that all ranks see, one rank after the other."""
    seen: list[int] = []
    for rank in range(len(rounds[0].groups_by_rank) if rounds else 0):
        groups = [group for part in rounds for group in part.groups_by_rank[rank]]
        for group, columns in read_row_groups(root, groups, ["row", "history"]):
            row, history = columns["row"], columns["history"]
            assert len(row) == group.rows and isinstance(history, Ragged)
            assert np.array_equal(history.values, np.repeat(row, row % 5))
            seen += row.tolist()
    return seen


@pytest.mark.parametrize("world_size", WORLDS)
@pytest.mark.parametrize("num_groups", COUNTS)
def test_every_row_is_seen_once_an_epoch(tmp_path, num_groups, world_size):
    groups = write_shards(tmp_path, num_groups)
    written = Counter(range(sum(group.rows for group in groups)))
    epochs = [
        rows_read(tmp_path, small_plan(groups, world_size, epoch=epoch)) for epoch in range(6)
    ]
    assert all(Counter(rows) == written for rows in epochs)
    assert rows_read(tmp_path, small_plan(groups[::-1], world_size)) == epochs[0]
    if num_groups > world_size:  # with a row group a rank, only ranks could change places
        assert len({tuple(rows) for rows in epochs}) > 1
    if num_groups >= 7:
        assert epochs[0] != epochs[1]


@pytest.mark.parametrize("num_groups", COUNTS)
def test_resuming_with_another_world_reads_exactly_the_rest(tmp_path, num_groups):
    groups = write_shards(tmp_path, num_groups)
    for before, after in ((1, 3), (2, 1), (3, 2)):
        rounds = small_plan(groups, before)
        for number, part in enumerate(rounds, start=1):
            rest = small_plan(groups, after, groups_done=part.groups_done)
            seen = rows_read(tmp_path, rounds[:number]) + rows_read(tmp_path, rest)
            assert Counter(seen) == Counter(range(sum(group.rows for group in groups)))
