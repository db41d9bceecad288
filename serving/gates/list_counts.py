"""Count the rows and lists of a version, and the errors in them, for the gates.

All counts come from reading the written parts back and comparing them with the users and
histories of the dataset, never from the scorer's own counters.

Legend of shapes: N users of a part, M rows, V catalogue, S seen pairs, A lists of the model.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from conf.contract import (
    HISTORY_ITEMS,
    NUM_RESERVED,
    POSITION,
    RULES,
    SCORE,
    USER_ID,
    USER_IDX,
    Manifest,
)
from conf.settings.score import Score
from conf.workspace.parquet import told_if_damaged
from serving.gates.possible_lists import Could, could_have
from serving.gates.propensities import count_bad_propensities
from serving.gates.row_counts import (
    NumberedRows,
    Rows,
    count_channels,
    count_fallbacks,
    count_rows,
    hashes_of,
    marked_rows,
    numbered,
)
from serving.gates.rule_checks import EVENTS, PartCheck, RuleCheck
from serving.gates.verdicts import COUNTS
from serving.publishing.parts import (
    ABSENT_SCHEMA,
    EXPLORED,
    lists_schema,
    part_name,
    read_item_ids,
    read_row_group,
    texts_of,
)
from serving.rules.guaranteed import Guaranteed
from serving.rules.members import Members
from serving.rules.possible import SHORT_REASONS, UNEXPLAINED, Pools, why_short


class Checked(NamedTuple):
    """Counts over all parts."""

    counts: dict[str, int | None]
    """All of `COUNTS` but the compared users."""
    short_lists: dict[str, int]
    """Number of lists with some, but fewer than `score.list_length` items, by reason."""
    fallbacks: dict[str, int]
    """Number of lists that are not the model's, by reason."""
    absent: pa.Table
    """Users without a list, with the reason: rows of `ABSENT_SCHEMA`."""
    channels: dict[str, int]
    """Number of rows whose item each channel named."""


class CheckedPart(NamedTuple):
    """What one part adds to `Checked`."""

    counts: dict[str, int]
    short_lists: Counter[str]
    fallbacks: Counter[str]
    absent: pa.Table
    hashes: np.ndarray
    """[A] uint64, equal for equal lists of the model."""
    listed: np.ndarray
    """[V] bool, items in the model's lists that it can recommend."""
    channels: Counter[str]


def check_parts(
    workspace: Path,
    manifest: Manifest,
    folder: Path,
    score: Score,
    pools: Pools,
    *,
    is_personal: bool,
    guaranteed: Sequence[Guaranteed] | None = None,
    check: RuleCheck | None = None,
    members: Members | None = None,
) -> Checked:
    """Read all parts of a version back and count what is in them.

    Args:
        workspace: Folder of the workspace.
        manifest: The dataset.
        folder: Folder of the lists.
        score: How the lists were made.
        pools: Items that lists may contain.
        is_personal: Whether lists of different users should differ.
        guaranteed: What channels of candidates name for sure; None: there are no candidates.
        check: Evaluates the rules again; None: there are none.
        members: The users that should have lists; None: all.
    """
    dataset = workspace / "datasets" / manifest.id
    item_ids, total = read_item_ids(dataset, manifest), _Total(pools)
    schema = lists_schema(
        has_channels=bool(score.candidates),
        has_rules=check is not None,
        has_propensity=score.exploration is not None,
    )
    for part in range(len(manifest.row_groups("users"))):
        lists = _lists_in(folder / part_name(part), schema)
        of_users, of_histories = _of_part(dataset, manifest, part, check, members)
        total.add(
            check_lists(
                lists,
                of_users[USER_ID].cast(pa.string()).combine_chunks(),
                of_histories[HISTORY_ITEMS].combine_chunks(),
                item_ids,
                pools,
                list_length=score.list_length,
                drop_seen=score.drops_seen,
                guaranteed=guaranteed,
                check=None if check is None else check.of_part(of_users, of_histories),
                share=None if score.exploration is None else score.exploration.share,
            )
        )
    return total.checked(score, is_personal=is_personal, has_rules=check is not None)


def _lists_in(path: Path, schema: pa.Schema) -> pa.Table:
    with told_if_damaged(path):
        return pq.read_table(path, schema=schema, page_checksum_verification=True)


def _of_part(
    dataset: Path,
    manifest: Manifest,
    part: int,
    check: RuleCheck | None,
    members: Members | None,
) -> tuple[pa.Table, pa.Table]:
    """Return the users of a part that should have lists, and their histories: N rows each."""
    fields = set() if check is None else {*check.user_fields}
    fields |= set() if members is None else {*members.fields}
    columns = [HISTORY_ITEMS] if check is None else EVENTS
    of_users, of_histories = (manifest.row_groups(name)[part] for name in ("users", "histories"))
    users = read_row_group(dataset, of_users, [USER_ID, USER_IDX, *sorted(fields)])
    histories = read_row_group(dataset, of_histories, columns)
    if members is None:
        return users, histories
    is_in = pa.array(members.of(users))
    return users.filter(is_in), histories.filter(is_in)


class _Total:
    """The sum of what the parts add."""

    def __init__(self, pools: Pools) -> None:
        self.counts: Counter[str] = Counter(recommendable_items=int(pools.model.sum()))
        self.short_lists: Counter[str] = Counter()
        self.fallbacks: Counter[str] = Counter()
        self.absent = [ABSENT_SCHEMA.empty_table()]
        self.hashes = [np.zeros(0, dtype=np.uint64)]
        self.listed = np.zeros(len(pools.model), dtype=bool)
        self.channels: Counter[str] = Counter()

    def add(self, part: CheckedPart) -> None:
        self.counts.update(part.counts)
        self.short_lists.update(part.short_lists)
        self.fallbacks.update(part.fallbacks)
        self.absent.append(part.absent)
        self.hashes.append(part.hashes)
        self.listed |= part.listed
        self.channels.update(part.channels)

    def checked(self, score: Score, *, is_personal: bool, has_rules: bool) -> Checked:
        """Return the result; what was not measured is None."""
        counts: dict[str, int | None] = {name: self.counts[name] for name in COUNTS}
        hashes = np.concatenate(self.hashes)
        can_differ = is_personal and len(hashes) > 1
        counts["listed_items"] = int(self.listed.sum())
        counts["distinct_lists"] = len(np.unique(hashes)) if can_differ else None
        is_measured = {
            "seen_items": score.drops_seen,
            "rule_violations": has_rules,
            "bad_propensities": score.exploration is not None,
        }
        counts |= {name: None for name, measured in is_measured.items() if not measured}
        return Checked(
            counts,
            dict(sorted(self.short_lists.items())),
            dict(sorted(self.fallbacks.items())),
            pa.concat_tables(self.absent),
            dict(sorted(self.channels.items())),
        )


def check_lists(
    lists: pa.Table,
    user_ids: pa.Array,
    histories: pa.ListArray,
    item_ids: pa.Array,
    pools: Pools,
    *,
    list_length: int,
    drop_seen: bool,
    guaranteed: Sequence[Guaranteed] | None = None,
    check: PartCheck | None = None,
    share: float | None = None,
) -> CheckedPart:
    """Count the rows and lists of one part, and the errors in them.

    Args:
        lists: M rows of `LISTS_SCHEMA`.
        user_ids: [N] users of the part.
        histories: [N] lists of item numbers.
        item_ids: [V], null at the reserved numbers.
        pools: Items that lists may contain.
        list_length: Items that each list should have.
        drop_seen: Whether lists must not contain seen items.
        guaranteed: As for `check_parts`.
        check: Evaluates the rules again for these users; None: there are none.
        share: `score.exploration.share`; None: nothing is drawn.
    """
    users = len(user_ids)
    rows = numbered(lists, user_ids, item_ids)
    could = could_have(histories, pools, drop_seen=drop_seen, guaranteed=guaranteed)
    lengths = np.bincount(rows.user[rows.is_known], minlength=users)  # [N]
    falls_back = could.falls_back.copy()  # [N]
    falls_back[rows.user[rows.is_known]] = rows.is_fallback[rows.is_known]
    ruled = _ruled(check, lists, rows, pools, could, falls_back, list_length)
    codes = why_short(
        lengths,
        falls_back,
        could.possible,
        items=len(item_ids) - NUM_RESERVED,
        list_length=list_length,
        has_candidates=guaranteed is not None,
        most=ruled.most,
    )
    why, is_absent = texts_of(codes, SHORT_REASONS), lengths == 0
    absent = [user_ids.filter(pa.array(is_absent)), why.filter(pa.array(is_absent))]
    of_model = rows.of_model & ~marked_rows(lists, EXPLORED)
    listed = np.bincount(rows.item[of_model], minlength=len(item_ids)).astype(bool)
    counts = {
        **_list_counts(lengths, codes, list_length),
        "unscored_users": int((falls_back & ~could.falls_back).sum()),
        "rule_violations": ruled.num_broken,
        "bad_propensities": 0 if share is None else count_bad_propensities(lists, share),
        **count_rows(lists, rows, could.seen, len(item_ids), ruled.num_rises),
    }
    return CheckedPart(
        counts=counts,
        short_lists=Counter(why.filter(pa.array(~is_absent & (codes > 0))).to_pylist()),
        fallbacks=count_fallbacks(lists, rows),
        absent=pa.Table.from_arrays(absent, schema=ABSENT_SCHEMA),
        hashes=hashes_of(rows.user[of_model], rows.item[of_model]),
        listed=listed & pools.model,
        channels=count_channels(lists),
    )


def _list_counts(lengths: np.ndarray, codes: np.ndarray, list_length: int) -> dict[str, int]:
    """Return the counts of users and of their lists, by length and by why they are short: [N]."""
    return {
        "users": len(lengths),
        "lists": int((lengths > 0).sum()),
        "full_lists": int((lengths == list_length).sum()),
        "users_without_lists": int((lengths == 0).sum()),
        "unexplained": int((codes == SHORT_REASONS.index(UNEXPLAINED)).sum()),
    }


class _Ruled(NamedTuple):
    """What the rules say of a part."""

    num_broken: int
    """Places that break a rule."""
    most: np.ndarray | None = None
    """[N] items that each list could have under the rules; None: there are no rules."""
    num_rises: int | None = None
    """Rows that break the order of scores for no good reason; None: as above."""


def _ruled(
    check: PartCheck | None,
    lists: pa.Table,
    rows: NumberedRows,
    pools: Pools,
    could: Could,
    falls_back: np.ndarray,
    list_length: int,
) -> _Ruled:
    """Evaluate the rules again.

    Args:
        check: Evaluates them for the users of the part; None: there are none.
        lists: M rows.
        rows: The same with numbers.
        pools: Items that lists may contain.
        could: What the lists could have without rules.
        falls_back: [N] bool, users whose list is not the model's.
        list_length: Items that each list should have.
    """
    if check is None:
        return _Ruled(0)
    known = Rows(
        rows.user, rows.item, lists[POSITION].to_numpy(), lists[SCORE].to_numpy(),
        lists[RULES].combine_chunks(),
    ).chosen(rows.is_known)  # fmt: skip
    num_broken = int(check.violations(known, rows.is_fallback[rows.is_known]).sum())
    return _Ruled(
        num_broken + check.num_lacking(pools, could.seen, known, falls_back, could.sure),
        check.most(pools, could.seen, known, falls_back, list_length, could.sure),
        check.num_rises(known, rows.is_fallback[rows.is_known]),
    )
