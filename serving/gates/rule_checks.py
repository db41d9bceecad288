"""Evaluate the rules again on written lists, row by row, without the code that ranked them.

Legend of shapes: N users of a part, M rows of its lists, V catalogue, U users with a short list.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import partial
from math import ceil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from conf.contract import (
    HISTORY_ITEMS,
    HISTORY_TIMES,
    HISTORY_TYPES,
    ITEM_ID,
    NUM_RESERVED,
    USER_ID,
    USER_IDX,
    Manifest,
)
from conf.settings.score import Score
from conf.workspace.parquet import read_columns
from conf.workspace.publications import in_canary
from serving.gates.place_checks import Caps, broken_pins, broken_places, unexplained_rises
from serving.gates.row_counts import Rows
from serving.publishing.parts import BOOST, EXPLORED, PIN
from serving.rules.compiled import compiled, marks_of, with_now
from serving.rules.conditions import mark_columns, marked
from serving.rules.guaranteed import Sure
from serving.rules.possible import Pools
from serving.rules.reading.given import NOTHING_GIVEN, Given
from serving.rules.reading.tables import dated, fields_of, no_users, read_item_fields
from serving.rules.sql import USER, checked, connect, create_table

EVENTS = [HISTORY_ITEMS, HISTORY_TYPES, HISTORY_TIMES]


class RuleCheck:
    """The rules of a run, ready to be evaluated on written lists."""

    def __init__(
        self, dataset: Path, manifest: Manifest, score: Score, given: Given = NOTHING_GIVEN
    ) -> None:
        score = score.with_list_rules()
        self.manifest, self.given, marks = manifest, given, marks_of(score, given)
        items = with_now(read_item_fields(dataset, manifest), given)
        self.users = no_users(dataset, manifest)
        self.num_items = items.num_rows
        self.connection = connect(threads=1)
        create_table(self.connection, "item", marked(items, marks), "i")
        create_table(self.connection, USER, self.users, "u")
        fields = fields_of(items, self.users, manifest.logical_date)
        check = partial(checked, self.connection, fields=fields, wanted="condition")
        self.conditions = compiled(score, mark_columns(items, marks), check)
        assert score.rules is not None  # else there is nothing to check
        self.rules, self.caps = score.rules, Caps(score.rules, items)
        self.pins = [
            (PIN + name, given.pins.get(name, -1), pin.position)
            for name, pin in score.rules.pins.items()
        ]
        self.list_length, self.shares = score.list_length, []
        for name, share in score.rules.shares.items():
            condition = check(f"score.rules.shares.{name}.where", share.where)
            found = self.connection.execute(
                f"SELECT row FROM item WHERE {condition.sql}"
            ).fetchnumpy()
            is_in = np.zeros(NUM_RESERVED + self.num_items, dtype=bool)
            is_in[np.asarray(found["row"]) + NUM_RESERVED] = True
            self.shares.append((Fraction(str(share.at_least)) * score.list_length, is_in))
        self.is_by_score = score.diversity is None or score.diversity.weight == 0
        self.past = [*score.rules.leave_out.values()]

    @property
    def user_fields(self) -> list[str]:
        """Return the fields of users that `of_part` needs."""
        return [*self.users.schema.names]

    def of_part(self, users: pa.Table, histories: pa.Table) -> "PartCheck":
        """Return the check for the users of one part.

        Args:
            users: N users with the fields `user_fields`.
            histories: Items, types and times of their events.
        """
        rows = dated(users.select(self.user_fields), self.manifest, "users")
        left_out = np.union1d(self._left_out(histories), self._tired(users, histories))
        return PartCheck(self, rows, left_out, users[USER_IDX].to_pylist())

    def _tired(self, users: pa.Table, histories: pa.Table) -> np.ndarray:
        """Return the pairs that `score.rules.fatigue` leaves out, as row * V + item: [S] int64."""
        if self.given.item_ids is None or self.rules.fatigue is None:
            return np.zeros(0, dtype=np.int64)
        kinds = {self.manifest.event_types.index(name) for name in self.rules.fatigue.events}
        number = {name: n for n, name in enumerate(self.given.item_ids.to_pylist())}
        ids = users[USER_ID].cast(pa.string()).to_pylist()
        place = {name: row for row, name in enumerate(ids)}
        shown: dict[tuple[int, int], int] = {}
        left = dict.fromkeys(ids, self.rules.fatigue.versions)
        for version in self.given.shown:
            is_in = in_canary(pa.array(ids, pa.string()), version.share, version.salt)
            saw = [name for name, one in zip(ids, is_in, strict=True) if one and left[name]]
            left |= {name: left[name] - 1 for name in saw}
            for path in version.paths:
                rows = read_columns(path, [USER_ID, ITEM_ID], pc.field(USER_ID).isin(saw))
                for row in rows.to_pylist():
                    if row[ITEM_ID] in number:
                        pair = place[row[USER_ID]], number[row[ITEM_ID]]
                        shown[pair] = min(shown.get(pair, version.since), version.since)
        for row, columns in enumerate(histories.select(EVENTS).to_pylist()):
            for item, kind, time in zip(*columns.values(), strict=True):
                if kind in kinds and time >= shown.get((row, item), time + 1):
                    del shown[row, item]
        catalogue = self.num_items + NUM_RESERVED
        return np.array([row * catalogue + item for row, item in shown], dtype=np.int64)

    def _left_out(self, histories: pa.Table) -> np.ndarray:
        """Return the pairs that `score.rules.leave_out` names, as row * V + item: [S] int64."""
        if not self.past:
            return np.zeros(0, dtype=np.int64)
        create_table(self.connection, "past", histories.select(EVENTS), "h")
        newest = self.manifest.as_of.removesuffix("Z")
        chosen = []
        for rule in self.past:
            kinds = [self.manifest.event_types.index(name) for name in rule.events]
            old = (
                ""
                if rule.days is None
                else (f" AND make_timestamp(t) >= '{newest}'::TIMESTAMP - INTERVAL {rule.days} DAY")
            )
            chosen.append(f"(k IN ({', '.join(map(str, kinds))}){old})")
        found = self.connection.execute(
            "WITH event AS "
            "(SELECT row, unnest(h0) AS i, unnest(h1) AS k, unnest(h2) AS t FROM past) "
            f"SELECT DISTINCT row, i FROM event WHERE i >= {NUM_RESERVED} "
            f"AND ({' OR '.join(chosen)})"
        ).fetchnumpy()
        pairs: np.ndarray = found["row"] * (self.num_items + NUM_RESERVED) + found["i"]
        return pairs


class PartCheck:
    """The rules for the users of one part."""

    def __init__(
        self, check: RuleCheck, users: pa.Table, left_out: np.ndarray, user_idx: list[int]
    ) -> None:
        self.check, self.users, self.left_out = check, users, left_out
        self.user_idx = user_idx

    def violations(self, rows: Rows, is_fallback: np.ndarray) -> np.ndarray:
        """Return which rows break a rule: [M] bool.

        Args:
            rows: The rows.
            is_fallback: [M] bool, rows of lists that are not the model's.
        """
        catalogue = self.check.num_items + NUM_RESERVED
        connection = self.check.connection
        broken: np.ndarray = np.isin(rows.user * catalogue + rows.item, self.left_out)
        broken |= broken_places(rows.user, rows.item, self.check.caps)
        broken |= broken_pins(rows.position, rows.item, rows.marks, self.check.pins)
        least = self.check.rules.least_score
        if least is not None:
            is_scored = rows.plain & ~is_fallback & ~rows.marks(BOOST, is_prefix=True)
            broken |= is_scored & (rows.score < np.float32(least))
        if not self.check.conditions:
            return broken
        create_table(connection, USER, self.users, "u")
        pairs = pa.table({"u": rows.user, "i": rows.item - NUM_RESERVED})
        create_table(connection, "pair", pairs, "p")
        met = " AND ".join(f"coalesce({one.sql}, false)" for one in self.check.conditions)
        found = connection.execute(
            f'SELECT pair.row FROM pair JOIN "user" ON "user".row = p0 JOIN item ON item.row = p1 '
            f"WHERE NOT ({met})"
        ).fetchnumpy()
        broken[found["row"]] = True
        return broken

    def most(
        self,
        pools: Pools,
        seen: np.ndarray,
        rows: Rows,
        is_fallback: np.ndarray,
        k: int,
        sure: Sequence[Sure] | None = None,
    ) -> np.ndarray:
        """Return how many items the lists have, one more for those that could have more: [N] int64.

        Args:
            pools: Items that lists may contain, without the rules.
            seen: Pairs of `seen_pairs` that they must not contain.
            rows: Their rows.
            is_fallback: [N] bool
            k: Items that each list should have.
            sure: What channels of candidates name for sure; None: the model ranks all items.
        """
        found = np.bincount(rows.user, minlength=len(is_fallback))
        catalogue, rules = len(pools.model), self.check.rules
        of_model, popular = self._sure(pools, len(found), sure)
        if rules.refill:
            of_model = [*of_model, popular]
        is_short = found < k
        if self.check.caps.caps:  # an item drawn at random may have made room under a cap
            is_short[np.unique(rows.user[rows.marks(EXPLORED)])] = False
        for user, may, listed in self._each(np.flatnonzero(is_short), seen, rows, catalogue):
            for one in [popular] if is_fallback[user] else of_model:
                left, count = one.left(user, may, listed)
                # At most this many of them are no candidates.
                least = len(left) - count + 1
                if self.check.caps.can_follow(listed.tolist(), left, least):
                    found[user] += 1
                    break
        return found

    def _each(
        self, users: np.ndarray, seen: np.ndarray, rows: Rows, catalogue: int
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Yield users, the items that each may get, [V] bool, and those of the list.

        Args:
            users: Rows of the part.
            seen: Pairs of `seen_pairs` that lists must not contain.
            rows: Rows of all lists.
            catalogue: V
        """
        gone = np.union1d(seen, self.left_out)
        every = np.arange(len(self.user_idx) + 1)
        bounds = np.searchsorted(gone, every * catalogue)
        order = np.argsort(rows.user, kind="stable")
        listed, ends = rows.item[order], np.searchsorted(rows.user[order], every)
        for members, met in self._groups(users):
            kept = np.concatenate([np.zeros(NUM_RESERVED, dtype=bool), met])
            for user in members.tolist():
                may = kept.copy()
                may[gone[bounds[user] : bounds[user + 1]] - user * catalogue] = False
                yield user, may, listed[ends[user] : ends[user + 1]]

    def _sure(
        self, pools: Pools, users: int, sure: Sequence[Sure] | None
    ) -> tuple[list[Sure], Sure]:
        """Return what lists of the model have for sure, and what popular ones have."""
        everybody, every = np.ones(users, dtype=bool), len(pools.model)
        popular = Sure(pools.fallback, every, everybody)
        if self.check.rules.least_score is not None:
            return [], popular  # nobody knows which scores are high enough
        return [Sure(pools.model, every, everybody)] if sure is None else [*sure], popular

    def num_lacking(
        self,
        pools: Pools,
        seen: np.ndarray,
        rows: Rows,
        is_fallback: np.ndarray,
        sure: Sequence[Sure] | None = None,
    ) -> int:
        """Return how many lists have too few items of a share, though there were more of them.

        Not measured with caps, pins or several shares, which may take the places.

        Args:
            pools: Items that lists may contain, without the rules.
            seen: Pairs of `seen_pairs` that they must not contain.
            rows: Their rows.
            is_fallback: [N] bool
            sure: As for `most`.
        """
        check, catalogue = self.check, len(pools.model)
        if len(check.shares) != 1 or check.caps.caps or check.pins:
            return 0
        (places, is_in), lacking = check.shares[0], []
        has = np.bincount(rows.user[is_in[rows.item]], minlength=len(is_fallback))
        for user, number in enumerate(self.user_idx):
            first = number - NUM_RESERVED
            if has[user] < ceil((first + 1) * places) - ceil(first * places):
                lacking.append(user)
        of_model, popular = self._sure(pools, len(has), sure)
        found, users = 0, np.array(lacking, dtype=np.int64)
        for user, may, listed in self._each(users, seen, rows, catalogue):
            lefts = [
                one.left(user, may, listed)
                for one in ([popular] if is_fallback[user] else of_model)
            ]
            found += any(is_in[left].sum() > len(left) - count for left, count in lefts)
        return found

    def num_rises(self, rows: Rows, is_fallback: np.ndarray) -> int:
        """Return how many rows have a higher score than the one before, for no good reason.

        With `score.diversity`, the model's lists are not in the order of scores. An item drawn at
        random may have taken the place of one whose cap or share made others rise.

        Args:
            rows: The rows.
            is_fallback: [M] bool, rows of lists that are not the model's.
        """
        shares = [is_in for _, is_in in self.check.shares]
        plain = rows.plain if self.check.is_by_score else rows.plain & is_fallback
        if shares or any(cap.within is not None for cap, _ in self.check.caps.caps):
            plain &= ~np.isin(rows.user, rows.user[rows.marks(EXPLORED)])
        given = (rows.user, rows.item, rows.score, plain)
        return unexplained_rises(*given, self.check.caps, shares)

    def _groups(self, rows: np.ndarray) -> "Sequence[tuple[np.ndarray, np.ndarray]]":
        """Return users with equal fields and the items that they may get: [U], [V - 2] bool."""
        used = {name for one in self.check.conditions for name in one.user_fields}
        columns = [self.users.column(name).to_pylist() for name in sorted(used)]
        members: dict[tuple[object, ...], list[int]] = {}
        for row in rows.tolist():
            members.setdefault(tuple(column[row] for column in columns), []).append(row)
        return [(np.array(some), self._met(some[0])) for some in members.values()]

    def _met(self, row: int) -> np.ndarray:
        """Return which items meet all conditions for one user: [V - 2] bool."""
        create_table(self.check.connection, USER, self.users.slice(row, 1), "u")
        met = " AND ".join(f"({one.sql})" for one in self.check.conditions) or "true"
        found = self.check.connection.execute(
            f'SELECT item.row FROM item, "user" WHERE {met}'
        ).fetchnumpy()
        is_met = np.zeros(self.check.num_items, dtype=bool)
        is_met[found["row"]] = True
        return is_met
