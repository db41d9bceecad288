"""Gates: checks that lists must pass before they may replace the published ones.

Only the counts of `list_counts.py` are judged here, so that a run that finds everything done can
check the gates again without reading any list.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from conf.errors import GateError
from conf.settings.config import Score

CATALOGUE_EXHAUSTED = "catalogue_exhausted"
"""The user has seen all other items."""
UNEXPLAINED = "unexplained"
"""There were more items to recommend."""


class _Gate(NamedTuple):
    figure: str
    """Name of the count that must be 0."""
    text: str
    remedy: str


_AGAIN = "this is a bug of the scorer: remove the version's folder and score again"
_GATES = {
    "users_covered": _Gate(UNEXPLAINED, "users have a list that is short without a reason", _AGAIN),
    "ids_known": _Gate(
        "unknown_ids", "rows contain a user or item that is not in the dataset", _AGAIN
    ),
    "no_duplicates": _Gate("duplicate_items", "rows repeat an item of their list", _AGAIN),
    "no_seen_items": _Gate(
        "seen_items", "rows contain an item that their user has already seen", _AGAIN
    ),
    "positions_complete": _Gate(
        "misplaced_rows", "rows break the sequence of positions 1, 2, 3, ...", _AGAIN
    ),
    "scores_ordered": _Gate(
        "bad_scores",
        "scores are not finite, or higher than the score before them",
        "the model may have diverged: look at its metrics.json and train again",
    ),
}
FULL_LISTS = "full_lists"
COUNTS = (
    "users",
    "lists",
    "rows",
    "model_lists",
    "fallback_lists",
    FULL_LISTS,
    *(gate.figure for gate in _GATES.values()),
)
"""The names of all counts, in the order of `lists.json`."""


def passed_gates(counts: Mapping[str, int], score: Score) -> dict[str, bool]:
    """Return for each gate whether the lists pass it.

    `full_lists` counts every short list, even if its user has seen nearly all items: this gate
    shows that the catalogue is too small for `score.list_length`.
    """
    passed = {name: counts[gate.figure] == 0 for name, gate in _GATES.items()}
    share = counts[FULL_LISTS] / counts["users"]
    return {**passed, FULL_LISTS: share >= score.min_full_share}


def require_passed(manifest: Mapping[str, Any]) -> None:
    """Refuse lists that have failed a gate.

    Args:
        manifest: Contents of `lists.json`.

    Raises:
        GateError: When a gate failed; it names each such gate, its count, its limit and the fix.
    """
    failed = [name for name, passed in manifest["gates"].items() if not passed]
    if failed:
        lines = "\n".join(f"  {_complaint(name, manifest)}" for name in failed)
        raise GateError(
            f"lists {manifest['id']} are not published, the previous lists stay: "
            f"{len(failed)} gate(s) failed\n{lines}"
        )


def _complaint(name: str, manifest: Mapping[str, Any]) -> str:
    counts, score = manifest["counts"], manifest["config"]["score"]
    if name != FULL_LISTS:
        gate = _GATES[name]
        return f"{name}: {counts[gate.figure]:,} {gate.text}, 0 are allowed; {gate.remedy}"
    full, users = counts[FULL_LISTS], counts["users"]
    return (
        f"{name}: {full:,} of {users:,} users ({full / users:.4f}) have a full list of "
        f"score.list_length={score['list_length']} items, but the share must be at least "
        f"score.min_full_share={score['min_full_share']} (short lists by reason: "
        f"{manifest['short_lists']}); lower either, or set score.drop_seen=false"
    )
