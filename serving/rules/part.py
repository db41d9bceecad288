"""The rules for the users of one part: what they may get, could have got, and what it changed.

Legend of shapes: N users of a part, U users asked for, V catalogue, M items that some user may get,
G groups of users, S pairs.
"""

from collections import Counter

import numpy as np
import pyarrow as pa
import torch

from conf.contract import NUM_RESERVED
from serving.rules.allowed import Allowed, GroupMasks, UserMasks
from serving.rules.book import RuleBook
from serving.rules.history import Seen, nothing_seen, seen_items
from serving.rules.past import past_pairs
from serving.rules.possible import Pools, Possible, count_possible, seen_pairs
from serving.rules.tables import dated
from trainer.data.columns import Ragged

_FEW_GROUPS = 64
"""Up to so many groups of users in a part, the masks of all of them are made."""


class PartRules:
    """The rules for the users of one part."""

    def __init__(self, book: RuleBook, users: pa.Table, histories: Ragged) -> None:
        """Take the users.

        Args:
            book: All rules.
            users: N users with the fields `book.user_fields`.
            histories: [N], in numbers of the dataset.
        """
        self.book, self.histories = book, histories
        self.kept = book.kept
        users = dated(users.select(book.user_fields), book.manifest, "users")
        columns = [column.to_pylist() for column in users.columns]
        self.keys = list(zip(*columns, strict=True))
        self.has_few_groups = len(set(self.keys)) <= _FEW_GROUPS

    def allowed(self, rows: np.ndarray) -> Allowed:
        """See `serving.rules.allowed.Rules`."""
        return Allowed(self.pairs(rows), None, self.masks(rows))

    def pairs(self, rows: np.ndarray) -> Seen:
        """Return the single pairs that are left out, whatever the rule: [S]."""
        found = [past_pairs(rule, self.histories, rows) for rule in self.book.past]
        if self.book.drops_seen:
            found.append(seen_items(self.histories, rows))
        return Seen(*map(torch.cat, zip(nothing_seen(), *found, strict=True)))

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
        row, item = (tensor.numpy() for tensor in self.pairs(rows))
        pairs = seen_pairs(row, item, len(pools.model))
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
        return found | self._removed_by_past(rows, items)

    def _removed_by_past(self, rows: np.ndarray, items: np.ndarray) -> dict[str, np.ndarray]:
        used, user = np.unique(rows, return_inverse=True)
        base = int(max(items.max(initial=0), self.histories.values.max(initial=0))) + 1
        found = {}
        for rule in self.book.past:
            row, item = (tensor.numpy() for tensor in past_pairs(rule, self.histories, used))
            found[rule.name] = np.isin(user * base + items, row * base + item)
        return found

    def ledger(self, rows: np.ndarray) -> dict[str, Counter[str]]:
        """Return what each rule excludes for these rows, counted in pairs of user and item."""
        users = Counter(self.keys[row] for row in rows) if self.book.by_group else Counter()
        names = [rule.name for rule in self.book.item_rules]
        names += [one.key for one in self.book.by_group]
        names += [rule.name for rule in self.book.past]
        found: dict[str, Counter[str]] = {name: Counter() for name in names}
        for group, count in zip(self.book.of_groups([*users]), users.values(), strict=True):
            for place, one in enumerate(self.book.by_group):
                found[one.key]["excluded_pairs"] += int(group.excluded[place]) * count
                found[one.key]["null_pairs"] += int(group.nulls[place]) * count
        for rule in self.book.past:
            row, item = (tensor.numpy() for tensor in past_pairs(rule, self.histories, rows))
            found[rule.name]["excluded_pairs"] = len(
                set(zip(row.tolist(), item.tolist(), strict=True))
            )
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
