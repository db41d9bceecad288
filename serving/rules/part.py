"""The rules for the users of one part: what they may get, could have got, and what it changed.

Legend of shapes: N users of a part, U users asked for, V catalogue, M items that some user may get,
G groups of users, S pairs.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import torch

from conf.contract import NO_ITEM, NUM_RESERVED, USER_ID, USER_IDX
from serving.rules.allowed import Allowed, GroupMasks, UserMasks
from serving.rules.book import Group, RuleBook
from serving.rules.event_rules import past_pairs
from serving.rules.guaranteed import Sure
from serving.rules.history import Seen, nothing_seen, seen_items
from serving.rules.placing import Boosts
from serving.rules.possible import Pools, Possible, count_possible, seen_pairs
from serving.rules.reading.tables import dated
from serving.rules.shown import FATIGUE, Shown, not_acted_on, read_shown
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
        self.pair_rules: dict[str, Callable[[np.ndarray], Seen]] = {
            rule.name: partial(past_pairs, rule, histories) for rule in book.past
        }
        if book.item_ids is not None:
            ids = users[USER_ID].cast(pa.string()).combine_chunks()
            shown = read_shown(book.shown, ids, book.item_ids, book.shown_versions)
            found = not_acted_on(shown, histories, book.acts)
            self.pair_rules[FATIGUE] = partial(_of_rows, found)
        self.user_idx = users[USER_IDX].to_numpy()
        users = dated(users.select(book.user_fields), book.manifest, "users")
        columns = [column.to_pylist() for column in users.columns]
        self.keys = list(zip(*columns, strict=True))
        self.counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """What was done to the lists so far, by the rule's name."""
        self.has_few_groups = len(set(self.keys)) <= _FEW_GROUPS

    def allowed(self, rows: np.ndarray) -> Allowed:
        """See `serving.rules.allowed.Rules`."""
        return Allowed(self.pairs(rows), self.masks(rows), self._boosts(rows))

    def _boosts(self, rows: np.ndarray) -> Boosts | None:
        book = self.book
        if not book.boosts and book.least_score is None:
            return None
        places, group = self._grouped(rows) if book.boosts_by_group else ([], np.zeros(0))
        by_group = iter(range(len(book.boosts_by_group)))
        rules = []
        for one in book.boosts:
            masks = None
            if one.where is not None:
                number = next(by_group)
                packed = np.array([found.boosted[number] for found in places], dtype=np.uint8)
                masks = GroupMasks(packed.reshape(len(places), -1), group)
            rules.append((one.is_factor, torch.from_numpy(one.values[self.kept]), masks))
        return Boosts(book.least_score, tuple(rules))

    def pairs(self, rows: np.ndarray) -> Seen:
        """Return the single pairs that are left out, whatever the rule: [S]."""
        found = [pairs_of(rows) for pairs_of in self.pair_rules.values()]
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
        barred: np.ndarray = np.logical_not(holds.all(axis=0))
        return barred

    def groups_of(self, rows: np.ndarray) -> GroupMasks:
        """Return all that the users of these rows may get."""
        found, group = self._grouped(rows)
        width = -(-len(self.kept) // 8)
        packed = np.array([one.packed for one in found], dtype=np.uint8).reshape(-1, width)
        return GroupMasks(packed, group)

    def _grouped(self, rows: np.ndarray) -> tuple[list[Group], np.ndarray]:
        """Return the groups of users, and the group of each row."""
        places: dict[tuple[object, ...], int] = {}
        group = [places.setdefault(self.keys[row], len(places)) for row in rows]
        return self.book.of_groups([*places]), np.array(group, dtype=np.int64)

    def pinned_items(self, rows: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """Return place and items of each pin: [U], -1 for users whom it does not count for.

        Args:
            rows: [U]
        """
        found = self.pins_by_name(rows)
        return [
            (pin.place, np.where(self._may_get(rows, found[pin.name]), found[pin.name], NO_ITEM))
            for pin in self.book.pins
        ]

    def pins_by_name(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the items of each pin, also for users who must not get it: [U], -1 for none."""
        found = {}
        for pin in self.book.pins:
            counts = np.ones(len(rows), dtype=bool)
            if pin.where is not None and len(rows):
                groups = dict.fromkeys(self.keys[row] for row in rows)
                holds = self.book.conditions.of_users(pin.where, self.book.table([*groups])).holds
                by_key = dict(zip(groups, holds, strict=True))
                counts = np.array([by_key[self.keys[row]] for row in rows])
            found[pin.name] = np.where(counts, pin.item, NO_ITEM)
        return found

    def _may_get(self, rows: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return whether each of the rows may get its item: [U], [U] -> [U] bool."""
        place = np.searchsorted(self.kept, items).clip(0, max(len(self.kept) - 1, 0))
        may = (items >= 0) & (self.kept[place] == items)
        left_out = self.pairs(rows)
        of_user = torch.from_numpy(items)[left_out.rows] == left_out.item_idx
        may[left_out.rows[of_user].numpy()] = False
        if self.book.by_group and may.any():
            chosen = np.flatnonzero(may)
            may[chosen] = ~self.barred_pairs(rows[chosen], place[chosen])
        found: np.ndarray = may
        return found

    def boosted(self, rows: np.ndarray, items: np.ndarray) -> dict[str, np.ndarray]:
        """Return which pairs of user and item each boost changes: [S] bool by the rule's name.

        Args:
            rows: [S] rows of the part.
            items: [S]
        """
        found = {
            one.name: one.values[items] != (1 if one.is_factor else 0) for one in self.book.boosts
        }
        wheres = [one for one in self.book.boosts if one.where is not None]
        if wheres and len(rows):
            used, user = np.unique(rows, return_inverse=True)
            holds = self.book.conditions.of_listed(
                self.book.boosts_by_group,
                self.book.table([self.keys[row] for row in used]),
                user,
                items - NUM_RESERVED,
            )
            for one, held in zip(wheres, holds, strict=True):
                found[one.name] &= held
        return found

    def only_pins(self) -> "OnlyPins":
        """Return the rules of a ranking of the pinned items alone, without boosts."""
        return OnlyPins(self.book.pinned)

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
        self,
        pools: Pools,
        lengths: np.ndarray,
        is_fallback: np.ndarray,
        list_length: int,
        sure: Sequence[Sure] | None = None,
    ) -> np.ndarray:
        """Return how many items the lists could have; full ones are not counted: [N] int64.

        Args:
            pools: See `possible`.
            lengths: [N] items of each list.
            is_fallback: [N] bool
            list_length: Items that each list should have.
            sure: What channels of candidates name for sure; None: there are no candidates.
        """
        found = lengths.astype(np.int64)
        if self.book.arranges or self.book.least_score is not None:
            return found  # a list that is short then has used all candidates
        rows = np.flatnonzero(lengths < list_length)
        also = pools.fallback if self.book.can_refill else np.zeros_like(pools.model)
        own = pools.model if sure is None else np.zeros_like(also)
        possible = self.possible(Pools(own | also, pools.fallback), rows)
        of_model = possible.model
        for one in sure or ():
            named = self.possible(Pools(one.pool, pools.fallback), rows).model
            of_model = np.maximum(of_model, np.minimum(named, one.most) * one.asked[rows])
        found[rows] = np.where(is_fallback[rows], possible.fallback, of_model)
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
        found = {}
        for name, pairs_of in self.pair_rules.items():
            row, item = (tensor.numpy() for tensor in pairs_of(used))
            base = int(max(items.max(initial=0), item.max(initial=0))) + 1
            found[name] = np.isin(user * base + items, row * base + item)
        return found

    def ledger(self, rows: np.ndarray) -> dict[str, Counter[str]]:
        """Return what each rule excludes for these rows, counted in pairs of user and item."""
        users = Counter(self.keys[row] for row in rows) if self.book.by_group else Counter()
        names = [rule.name for rule in self.book.item_rules]
        names += [one.key for one in self.book.by_group]
        names += [*self.pair_rules]
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


def _of_rows(shown: Shown, rows: np.ndarray) -> Seen:
    """Return the pairs of the chosen rows, numbered in their order: [S]."""
    first = np.searchsorted(shown.row, rows)
    lengths = np.searchsorted(shown.row, rows, side="right") - first
    row = np.repeat(np.arange(len(rows)), lengths)
    at = np.repeat(first - (np.cumsum(lengths) - lengths), lengths) + np.arange(len(row))
    return Seen(torch.from_numpy(row), torch.from_numpy(shown.item[at]))


class OnlyPins:
    """Lets all users get some items, and no others."""

    def __init__(self, kept: np.ndarray) -> None:
        self.kept = kept

    def allowed(self, rows: np.ndarray) -> Allowed:
        """See `serving.rules.allowed.Rules`."""
        return Allowed(nothing_seen())


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
