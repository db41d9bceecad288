"""What the current lists have and new ones lack: users, and items."""

from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from conf.contract import USER_ID
from conf.workspace.parquet import read_columns
from serving.gates.overlap import CurrentLists, chosen_users
from serving.publishing.parts import part_name

LOSSES = ("previous_users", "lost_users", "previous_listed_items", "fewer_listed_items")


def losses(
    current: CurrentLists | None,
    folder: Path,
    *,
    parts: int,
    length: int,
    listed_items: int | None,
) -> dict[str, int | None]:
    """Return the counts `LOSSES`; None where there is nothing to compare.

    Args:
        current: The lists that the new ones would replace.
        folder: Folder of the new lists.
        parts: Their number of parts.
        length: Their `score.list_length`.
        listed_items: Items in the model's lists.
    """
    found: dict[str, int | None] = dict.fromkeys(LOSSES)
    if current is None:
        return found
    users = chosen_users(current.paths)
    has_list = np.zeros(len(users), dtype=bool)
    for part in range(parts):
        ids = read_columns(folder / part_name(part), [USER_ID])[USER_ID]
        has_list[pc.index_in(pc.unique(ids), value_set=users).drop_null().to_numpy()] = True
    found |= {"previous_users": len(users), "lost_users": int((~has_list).sum())}
    before = current.figures.counts.get("listed_items")
    if before is not None and listed_items is not None and current.length == length:
        fewer = max(before - listed_items, 0)
        found |= {"previous_listed_items": before, "fewer_listed_items": fewer}
    return found
