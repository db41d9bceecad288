"""All rules of a run: built once for a worker, and asked for each part of the users.

Legend of shapes: N users of a part, U users asked for, V catalogue, I items without the reserved
numbers, M items that some user may get, G groups of users, R rules by group, S pairs.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from conf.contract import NUM_RESERVED, Manifest
from conf.settings.score import Score
from serving.rules.allowed import Allowed, GroupMasks, UserMasks
from serving.rules.compiled import compiled, marks_of, with_now
from serving.rules.conditions import Conditions, Truth
from serving.rules.given import Given
from serving.rules.history import nothing_seen, seen_items
from serving.rules.possible import Pools, Possible, count_possible, seen_pairs
from serving.rules.sql import Expression
from serving.rules.tables import dated, no_users, read_item_fields
from trainer.data.columns import Ragged, events_of

_FEW_GROUPS = 64
"""Up to so many groups of users in a part, the masks of all of them are made."""
_MOST_BYTES = 1 << 28
"""Of the masks of groups of users that a worker keeps for its next parts."""


class ItemRule(NamedTuple):
    """A rule that is the same for all users."""

    name: str
    holds: np.ndarray
    """[I] bool"""
    is_null: np.ndarray
    """[I] bool"""


class Group(NamedTuple):
    """What the users with equal fields may get."""

    packed: np.ndarray
    """[ceil(M / 8)] uint8, a bit for each item."""
    excluded: np.ndarray
    """[R] int64, items that each rule excludes."""
    nulls: np.ndarray
    """[R] int64, items for which it is null."""


class RuleBook:
    """The rules of a run."""

    def __init__(self, dataset: Path, manifest: Manifest, score: Score, given: Given) -> None:
        """Read the items and evaluate what is the same for all users.

        Raises:
            ConfigError: When a rule cannot be evaluated on this dataset.
        """
        self.drop_seen, self.manifest = score.drop_seen, manifest
        items = with_now(read_item_fields(dataset, manifest), given)
        self.conditions = Conditions(
            items,
            no_users(dataset, manifest),
            logical_date=manifest.logical_date,
            threads=score.cpus_per_worker,
            marks=marks_of(score, given),
        )
        self.item_rules: list[ItemRule] = []
        self.by_group: list[Expression] = []
        for condition in compiled(score, self.conditions.marks, self.conditions.checked):
            if condition.user_fields:
                self.by_group.append(condition)
            else:
                truth = self.conditions.of_items(condition)
                self.item_rules.append(ItemRule(condition.key, *truth))
        left = np.ones(items.num_rows, dtype=bool)
        for rule in self.item_rules:
            left &= rule.holds
        places = np.flatnonzero(left)
        self.kept = places + NUM_RESERVED  # [M]
        if self.by_group:
            self.conditions.keep(places)
        self.user_fields = [
            name
            for name in self.conditions.fields.user
            if any(name in one.user_fields for one in self.by_group)
        ]
        self.groups: dict[tuple[object, ...], Group] = {}

    def item_counts(self) -> dict[str, dict[str, int]]:
        """Return how many items each rule excludes for everybody."""
        return {
            rule.name: {
                "excluded_items": int((~rule.holds).sum()),
                "null_items": int(rule.is_null.sum()),
            }
            for rule in self.item_rules
        }

    def for_part(self, users: pa.Table, histories: Ragged) -> "PartRules":
        """Return the rules for the users of one part.

        Args:
            users: N users with the fields `user_fields`.
            histories: Their histories, in numbers of the dataset.
        """
        return PartRules(self, dated(users.select(self.user_fields), self.manifest, "users"),
                         histories)  # fmt: skip

    def of_groups(self, keys: Sequence[tuple[object, ...]]) -> list[Group]:
        """Return what groups of users may get.

        Args:
            keys: The fields `user_fields` of each group, no two alike.
        """
        new = [key for key in keys if key not in self.groups]
        if new:
            truth = self.conditions.of_pairs(self.by_group, self.table(new), len(self.kept))
            self._make_room(len(new))
            self.groups |= dict(zip(new, _groups(truth), strict=True))
        return [self.groups[key] for key in keys]

    def _make_room(self, more: int) -> None:
        most = _MOST_BYTES // max(len(self.kept) // 8, 1)
        if len(self.groups) + more > most:
            self.groups.clear()
        # What one batch needs is kept all the same: there are no more groups than users in it.

    def table(self, keys: Sequence[tuple[object, ...]]) -> pa.Table:
        """Return groups as rows of the table of users; fields that no rule uses are null."""
        schema = self.conditions.no_users.schema
        columns = []
        for field in schema:
            used = field.name in self.user_fields
            place = self.user_fields.index(field.name) if used else 0
            values = [key[place] for key in keys] if used else [None] * len(keys)
            columns.append(pa.array(values, field.type))
        return pa.Table.from_arrays(columns, schema=schema)


class PartRules:
    """The rules for the users of one part."""

    def __init__(self, book: RuleBook, users: pa.Table, histories: Ragged) -> None:
        self.book, self.histories = book, histories
        self.kept = book.kept
        columns = [column.to_pylist() for column in users.columns]
        self.keys = list(zip(*columns, strict=True))
        self.has_few_groups = len(set(self.keys)) <= _FEW_GROUPS

    def allowed(self, rows: np.ndarray) -> Allowed:
        """See `serving.rules.allowed.Rules`."""
        seen = seen_items(self.histories, rows) if self.book.drop_seen else nothing_seen()
        return Allowed(seen, None, self.masks(rows))

    def masks(self, rows: np.ndarray) -> UserMasks | None:
        """Return what differs between the users of these rows."""
        if not self.book.by_group:
            return None
        return self.groups_of(rows) if self.has_few_groups else PairMasks(self, rows)

    def barred_pairs(self, rows: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Return which pairs a condition on users and items excludes: [S] bool.

        Args:
            rows: [S] rows of the part.
            places: [S] places of the items in `kept`.
        """
        used, user = np.unique(rows, return_inverse=True)
        holds = self.book.conditions.of_listed(
            self.book.by_group,
            self.book.table([self.keys[row] for row in used]),
            user,
            self.kept[places] - NUM_RESERVED,
        )
        return np.logical_not(holds.all(axis=0))

    def groups_of(self, rows: np.ndarray) -> GroupMasks:
        """Return all that the users of these rows may get."""
        places: dict[tuple[object, ...], int] = {}
        group = [places.setdefault(self.keys[row], len(places)) for row in rows]
        found = self.book.of_groups([*places])
        width = -(-len(self.kept) // 8)
        packed = np.array([one.packed for one in found], dtype=np.uint8).reshape(-1, width)
        return GroupMasks(packed, np.array(group, dtype=np.int64))

    def possible(self, pools: Pools, rows: np.ndarray) -> Possible:
        """Return how many items the lists of these rows could have under the rules.

        Args:
            pools: Items that lists may contain, of the whole catalogue.
            rows: [U]
        """
        events = events_of(self.histories, rows)
        items = events.item if self.book.drop_seen else events.item[:0]
        pairs = seen_pairs(events.row[: len(items)], items, len(pools.model))
        if not self.book.by_group:
            is_kept = np.zeros(len(pools.model), dtype=bool)
            is_kept[self.kept] = True
            ruled = Pools(pools.model & is_kept, pools.fallback & is_kept)
            return count_possible(pairs, len(rows), ruled, whole=is_kept)
        return _possible_by_group(pairs, self.groups_of(rows), self.kept, pools)

    def most(
        self, pools: Pools, lengths: np.ndarray, is_fallback: np.ndarray, list_length: int
    ) -> np.ndarray:
        """Return how many items the lists could have; full ones are not counted: [N] int64.

        Args:
            pools: See `possible`.
            lengths: [N] items of each list.
            is_fallback: [N] bool
            list_length: Items that each list should have.
        """
        found = lengths.astype(np.int64)
        rows = np.flatnonzero(lengths < list_length)
        possible = self.possible(pools, rows)
        found[rows] = np.where(is_fallback[rows], possible.fallback, possible.model)
        return found

    def removed(self, rows: np.ndarray, items: np.ndarray) -> dict[str, np.ndarray]:
        """Return which pairs of user and item each rule excludes: [S] bool by the rule's name.

        Args:
            rows: [S] rows of the part.
            items: [S]
        """
        places = items - NUM_RESERVED
        found = {rule.name: ~rule.holds[places] for rule in self.book.item_rules}
        if self.book.by_group:
            used, user = np.unique(rows, return_inverse=True)
            holds = self.book.conditions.of_listed(
                self.book.by_group, self.book.table([self.keys[row] for row in used]), user, places
            )
            found |= {one.key: ~held for one, held in zip(self.book.by_group, holds, strict=True)}
        return found

    def ledger(self, rows: np.ndarray) -> dict[str, Counter[str]]:
        """Return what each rule excludes for these rows, counted in pairs of user and item."""
        users = Counter(self.keys[row] for row in rows) if self.book.by_group else Counter()
        names = [rule.name for rule in self.book.item_rules]
        found: dict[str, Counter[str]] = {
            name: Counter() for name in [*names, *(one.key for one in self.book.by_group)]
        }
        for group, count in zip(self.book.of_groups([*users]), users.values(), strict=True):
            for place, one in enumerate(self.book.by_group):
                found[one.key]["excluded_pairs"] += int(group.excluded[place]) * count
                found[one.key]["null_pairs"] += int(group.nulls[place]) * count
        return found


class PairMasks:
    """What users may get if there are many groups of them: pairs are judged one by one."""

    def __init__(self, rules: PartRules, rows: np.ndarray) -> None:
        self.rules, self.rows = rules, rows

    def barred_pairs(self, user: np.ndarray, place: np.ndarray) -> np.ndarray:
        """See `UserMasks`."""
        return self.rules.barred_pairs(self.rows[user], place)

    def of(self, users: np.ndarray) -> "PairMasks":
        """See `UserMasks`."""
        return PairMasks(self.rules, self.rows[users])

    def all(self) -> GroupMasks:
        """See `UserMasks`."""
        return self.rules.groups_of(self.rows)


def _groups(truth: Truth) -> list[Group]:
    """Return what each group may get, from [R, G, M]."""
    allowed = truth.holds.all(0)  # [G, M]
    packed = np.packbits(allowed, axis=1)
    excluded, nulls = (~truth.holds).sum(2), truth.is_null.sum(2)  # [R, G]
    return [
        Group(packed[place], excluded[:, place], nulls[:, place]) for place in range(len(packed))
    ]


def _possible_by_group(
    pairs: np.ndarray, masks: GroupMasks, kept: np.ndarray, pools: Pools
) -> Possible:
    """Return how many items each user's list could have, one group of users after another.

    Args:
        pairs: [S] of `seen_pairs`.
        masks: Of U users.
        kept: [M]
        pools: Of the whole catalogue.
    """
    users, catalogue = len(masks.group), len(pools.model)
    rows, items = np.divmod(pairs, catalogue)
    found = Possible(*(np.zeros(users, dtype=np.int64) for _ in range(3)))
    for group, packed in enumerate(masks.packed):
        is_kept = np.zeros(catalogue, dtype=bool)
        is_kept[kept] = np.unpackbits(packed, count=len(kept)).astype(bool)
        members = np.flatnonzero(masks.group == group)
        of_group = masks.group[rows] == group
        place = np.searchsorted(members, rows[of_group])
        some = count_possible(
            place * catalogue + items[of_group],
            len(members),
            Pools(pools.model & is_kept, pools.fallback & is_kept),
            whole=is_kept,
        )
        for whole, part in zip(found, some, strict=True):
            whole[members] = part
    return found
