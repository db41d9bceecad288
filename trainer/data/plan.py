"""Plan which rank reads which row groups, in which order, and how many steps every rank takes.

An epoch is a permutation of the row groups, cut into rounds. The row groups of each round are
distributed over the ranks, and every rank takes the same number of steps, whatever its share. So
data-parallel training cannot hang. After a round, exactly a prefix of the epoch's order has been
read. The length of this prefix is the only state needed to resume, even with another number of
ranks.

Pure functions: no files, no clock, no random state.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise

from conf.contract import RowGroup


@dataclass(frozen=True)
class Round:
    """Consecutive row groups of an epoch's order, distributed over the ranks."""

    groups_by_rank: tuple[tuple[RowGroup, ...], ...]
    """Each rank's row groups in the epoch's order; empty for ranks that got none."""
    steps: int
    """Steps that every rank takes; 0 only if the round has no rows."""
    groups_done: int
    """Row groups of the epoch's order that are consumed after this round."""


def epoch_order(row_groups: Iterable[RowGroup], *, seed: int, epoch: int) -> list[RowGroup]:
    """Return the row groups in an order that depends only on them, the seed and the epoch.

    Sorting by a hash makes the order independent of library versions.
    """

    def key(group: RowGroup) -> tuple[bytes, str, int]:
        text = f"{seed}:{epoch}:{group.index}:{group.path}"
        return blake2b(text.encode(), digest_size=16).digest(), group.path, group.index

    return sorted(row_groups, key=key)


def plan_epoch(
    row_groups: Sequence[RowGroup],
    *,
    seed: int,
    epoch: int,
    world_size: int,
    batch_rows_per_rank: int,
    block_rows: int,
    groups_done: int = 0,
) -> list[Round]:
    """Return the rounds of an epoch, or of the rest of it.

    Args:
        row_groups: All row groups of the epoch, in any order.
        seed: Seed of the run.
        epoch: Number of the epoch.
        world_size: Number of ranks.
        batch_rows_per_rank: Largest number of rows that a rank takes in one step.
        block_rows: Approximate number of rows that a rank shuffles together; a round has at
            least `world_size` times as many, unless fewer are left.
        groups_done: Row groups of the epoch's order that are already consumed.

    Raises:
        ValueError: When a number is out of range or a row group is listed twice.
    """
    _require_positive(
        world_size=world_size, batch_rows_per_rank=batch_rows_per_rank, block_rows=block_rows
    )
    if len({(group.path, group.index) for group in row_groups}) < len(row_groups):
        raise ValueError("a row group is listed twice; each row may be seen once an epoch")
    if not 0 <= groups_done <= len(row_groups):
        raise ValueError(
            f"groups_done is {groups_done} of {len(row_groups)} row groups: the checkpoint belongs "
            "to another dataset; start the training again from the beginning"
        )
    rest = epoch_order(row_groups, seed=seed, epoch=epoch)[groups_done:]
    rounds = []
    for groups in _cut(rest, min_rows=world_size * block_rows):
        groups_done += len(groups)
        groups_by_rank = _deal(groups, world_size)
        steps = max(-(-_rows(share) // batch_rows_per_rank) for share in groups_by_rank)
        rounds.append(Round(groups_by_rank, steps, groups_done))
    return rounds


def batch_sizes(num_rows: int, steps: int) -> list[int]:
    """Return the sizes of `steps` batches, which differ by one row at most.

    With fewer rows than steps, some batches are empty.

    Raises:
        ValueError: When a number is negative, or there are rows but no steps.
    """
    if num_rows < 0 or steps < 0 or (num_rows > 0 and steps == 0):
        raise ValueError(f"cannot split {num_rows} rows into {steps} batches")
    bounds = [num_rows * step // steps for step in range(steps + 1)] if steps else [0]
    return [end - start for start, end in pairwise(bounds)]


def _require_positive(**values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be 1 or more")


def _rows(groups: Iterable[RowGroup]) -> int:
    return sum(group.rows for group in groups)


def _cut(order: Sequence[RowGroup], min_rows: int) -> list[list[RowGroup]]:
    """Cut into runs of at least `min_rows` rows; a last run below half of that is merged back."""
    runs: list[list[RowGroup]] = []
    rows = min_rows
    for group in order:
        if rows >= min_rows:
            runs.append([])
            rows = 0
        runs[-1].append(group)
        rows += group.rows
    if len(runs) > 1 and 2 * rows < min_rows:
        runs[-2:] = [runs[-2] + runs[-1]]
    return runs


def _deal(groups: Sequence[RowGroup], world_size: int) -> tuple[tuple[RowGroup, ...], ...]:
    """Give each row group, largest first, to the rank that has the fewest rows so far."""
    rows_by_rank = [0] * world_size
    places_by_rank: list[list[int]] = [[] for _ in range(world_size)]
    for place in sorted(range(len(groups)), key=lambda place: -groups[place].rows):
        rank = rows_by_rank.index(min(rows_by_rank))
        rows_by_rank[rank] += groups[place].rows
        places_by_rank[rank].append(place)
    return tuple(tuple(groups[place] for place in sorted(places)) for places in places_by_rank)
