"""All rules of a run: built once for a worker, and asked for each part of the users.

Legend of shapes: N users of a part, U users asked for, V catalogue, I items without the reserved
numbers, M items that some user may get, G groups of users, R rules by group, S pairs.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from conf.contract import NUM_RESERVED, Manifest
from conf.settings.lists.rules import ListRules
from conf.settings.score import Score
from serving.rules.compiled import compiled, marks_of, with_now
from serving.rules.conditions import Conditions, Truth
from serving.rules.event_rules import fatigue_types, past_rules
from serving.rules.placing import boost_rules, cap_rules, of_users, pin_rules, share_rules
from serving.rules.reading.given import Given
from serving.rules.reading.tables import no_users, read_item_fields
from serving.rules.sql import Expression

_MOST_BYTES = 1 << 28
"""Of the masks of groups of users that a worker keeps for its next parts."""
_MASKS_AT_ONCE = 1 << 26
"""Pairs of group and item whose masks are made together."""


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
    boosted: np.ndarray
    """[boosts by group, ceil(M / 8)] uint8, a bit for each item whose score is changed."""


class RuleBook:
    """The rules of a run."""

    def __init__(self, dataset: Path, manifest: Manifest, score: Score, given: Given) -> None:
        """Read the items and evaluate what is the same for all users.

        Raises:
            ConfigError: When a rule cannot be evaluated on this dataset.
        """
        self.drops_seen, self.manifest = score.drops_seen, manifest
        self.past = past_rules(score, manifest)
        self.shown, self.item_ids = given.shown, given.item_ids
        fatigue = None if score.rules is None else score.rules.fatigue
        self.shown_versions = None if fatigue is None else fatigue.versions
        self.acts = fatigue_types(score, manifest)
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
        self._read_placing(score.rules, items, given)
        self.boosts_by_group = [one.where for one in self.boosts if one.where is not None]
        used = [*self.by_group, *self.boosts_by_group]
        used += [pin.where for pin in self.pins if pin.where is not None]
        self.user_fields = [
            name
            for name in self.conditions.fields.user
            if any(name in one.user_fields for one in used)
        ]
        if self.by_group or self.boosts_by_group:
            self.conditions.keep(places)
        self.groups: dict[tuple[object, ...], Group] = {}

    def _read_placing(self, rules: ListRules | None, items: pa.Table, given: Given) -> None:
        """Set what is about the places of lists."""
        assert rules is not None  # else there is no book
        check = self.conditions.checked
        wheres = {
            name: of_users(check(f"score.rules.pins.{name}.where", pin.where))
            for name, pin in rules.pins.items()
            if pin.where is not None
        }
        self.caps, self.shares = cap_rules(rules, items), share_rules(rules, self.conditions)
        self.pins = pin_rules(rules, given.pins, wheres)
        self.boosts = boost_rules(rules, self.conditions, items.num_rows)
        self.least_score, self.arranges = rules.least_score, rules.arranges
        self.can_refill = rules.refill
        pinned = np.array([pin.item for pin in self.pins if pin.item >= 0], dtype=np.int64)
        self.pinned = np.intersect1d(pinned, self.kept)
        """Pinned items that some user may get, ascending; one array for all parts."""

    def item_counts(self) -> dict[str, dict[str, int]]:
        """Return how many items each rule excludes for everybody."""
        return {
            rule.name: {
                "excluded_items": int((~rule.holds).sum()),
                "null_items": int(rule.is_null.sum()),
            }
            for rule in self.item_rules
        }

    def of_groups(self, keys: Sequence[tuple[object, ...]]) -> list[Group]:
        """Return what groups of users may get.

        Args:
            keys: The fields `user_fields` of each group, no two alike.
        """
        new = [key for key in keys if key not in self.groups]
        most = _MOST_BYTES // max(len(self.kept) // 8, 1)
        if new and len(self.groups) + len(new) > most:
            self.groups.clear()  # what is asked for is made all the same
            new = [*keys]
        step = max(_MASKS_AT_ONCE // max(len(self.kept), 1), 1)
        for start in range(0, len(new), step):
            some = new[start : start + step]
            conditions = [*self.by_group, *self.boosts_by_group]
            truth = self.conditions.of_pairs(conditions, self.table(some), len(self.kept))
            self.groups |= dict(zip(some, _groups(truth, len(self.by_group)), strict=True))
        return [self.groups[key] for key in keys]

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


def _groups(truth: Truth, rules: int) -> list[Group]:
    """Return what each group may get, from [R + boosts, G, M]."""
    holds, is_null = truth.holds[:rules], truth.is_null[:rules]
    packed = np.packbits(holds.all(0), axis=1)
    excluded, nulls = (~holds).sum(2), is_null.sum(2)  # [R, G]
    boosted = np.packbits(truth.holds[rules:], axis=2)  # [boosts, G, ceil(M / 8)]
    return [
        Group(packed[place], excluded[:, place], nulls[:, place], boosted[:, place])
        for place in range(len(packed))
    ]
