"""Gates: figures that lists must reach before they may replace the published ones.

Only the figures in `lists.json` are judged here, so that a run that finds everything done can
apply other limits without reading or making any list.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from conf.errors import GateError
from conf.settings.lists.gates import Above, Gates
from conf.settings.rules.scenarios import of_scenario
from conf.settings.score import Score

log = logging.getLogger(__name__)
COUNTS = (
    "users",
    "lists",
    "rows",
    "model_lists",
    "model_rows",
    "fallback_lists",
    "full_lists",
    "users_without_lists",
    "unexplained",
    "unscored_users",
    "unknown_ids",
    "duplicate_items",
    "seen_items",
    "rule_violations",
    "misplaced_rows",
    "bad_scores",
    "bad_propensities",
    "distinct_lists",
    "listed_items",
    "recommendable_items",
    "compared_users",
    "previous_users",
    "lost_users",
    "previous_listed_items",
    "fewer_listed_items",
    "recall_users",
    "best_items",
    "recalled_items",
    "index_users",
    "index_best_items",
    "index_found_items",
)
"""The names of all counts, in the order of `lists.json`."""


class _Gate(NamedTuple):
    counted: str | None
    """What is counted; None: the figure is no share of a count."""
    of: str
    text: str
    remedy: str


_AGAIN = "this is a fault of the scorer: remove the version's folder and score again"
GATES = {
    "unexplained_short_lists": _Gate(
        "unexplained", "users", "users have a short list, or none, without a reason", _AGAIN
    ),
    "unknown_ids": _Gate(
        "unknown_ids", "rows", "rows contain a user or item that is not in the dataset", _AGAIN
    ),
    "duplicate_items": _Gate(
        "duplicate_items", "rows", "rows repeat an item of their list", _AGAIN
    ),
    "seen_items": _Gate(
        "seen_items", "rows", "rows contain an item that their user has already seen", _AGAIN
    ),
    "rule_violations": _Gate("rule_violations", "rows", "rows break a rule of score.rules", _AGAIN),
    "misplaced_rows": _Gate(
        "misplaced_rows", "rows", "rows break the sequence of positions 1, 2, 3, ...", _AGAIN
    ),
    "bad_scores": _Gate(
        "bad_scores",
        "rows",
        "rows have a score that is not finite, or higher than the score before",
        "the model may have diverged: look at its metrics.json and train again",
    ),
    "bad_propensities": _Gate(
        "bad_propensities", "rows", "rows have a propensity that cannot be", _AGAIN
    ),
    "unscored_users": _Gate(
        "unscored_users",
        "users",
        "users have the fallback list although the model knows items of their history",
        "the model has diverged: lower train.optimizer.learning_rate and train again",
    ),
    "users_without_lists": _Gate(
        "users_without_lists",
        "users",
        "users have no list",
        "users_without_lists in lists.json counts the reasons; if they have seen everything, set "
        "score.drop_seen=false; if it is rules, rules in lists.json says what each rule excludes",
    ),
    "short_lists": _Gate(
        "short",
        "users",
        "users have fewer than score.list_length items",
        "short_lists in lists.json counts the reasons; lower score.list_length, loosen the rules, "
        "set score.drop_seen=false, or train on this dataset if the model knows few of its items",
    ),
    "fallback_lists": _Gate(
        "fallback_lists",
        "lists",
        "lists have popular items because the model knows nothing of the user",
        "fallbacks in lists.json counts the reasons; history_unknown_to_model: train on this "
        "dataset; no_history: raise the limit",
    ),
    "distinct_lists": _Gate(
        "distinct_lists",
        "model_lists",
        "lists of the model differ from one another",
        "a model that gives everybody the same list has learned nothing of its users: look at its "
        "card, and train again",
    ),
    "catalogue_coverage": _Gate(
        "listed_items",
        "recommendable_items",
        "items that the model can recommend are in a list",
        "the model recommends the same few items to everybody: look at its card",
    ),
    "overlap_with_previous": _Gate(
        None,
        "compared_users",
        "is the mean overlap (Jaccard) with the current lists",
        "if neither the model nor the data has changed so much, look at both before you publish",
    ),
    "users_lost": _Gate(
        "lost_users",
        "previous_users",
        "users of the current lists have no list in the new ones",
        "look at the ledger of the dataset: a part of the log may be missing, or users have other "
        "ids than before",
    ),
    "coverage_lost": _Gate(
        "fewer_listed_items",
        "previous_listed_items",
        "items fewer are in the model's lists than in the current ones",
        "the model recommends fewer items than the one before: compare their cards",
    ),
    "candidate_recall": _Gate(
        "recalled_items",
        "best_items",
        "of the best items of sampled users are among their candidates",
        "raise the counts of the channels in score.candidates, or add a channel",
    ),
    "index_recall": _Gate(
        "index_found_items",
        "index_best_items",
        "of the best items of sampled users are found with score.index",
        "raise score.index.probes, or set score.index to null for exact lists",
    ),
}
"""By the names of their limits in `score.gates`, in that order."""


class Verdict(NamedTuple):
    """What a gate says about lists."""

    name: str
    refuses: bool
    complaint: str | None
    """What is wrong, with figure, limit and remedy; None: nothing."""


def figures_of(counts: Mapping[str, int | None], overlap: float | None) -> dict[str, float | None]:
    """Return the figure of each gate; None without data.

    Args:
        counts: All of `COUNTS`.
        overlap: Mean overlap with the lists before.
    """
    return {
        name: overlap if gate.counted is None else _share(_count(gate, counts), _of(gate, counts))
        for name, gate in GATES.items()
    }


def judged(manifest: Mapping[str, Any], score: Score) -> list[Verdict]:
    """Return what each gate says about lists under these limits.

    Args:
        manifest: Contents of `lists.json`.
        score: The section with the limits, which may have changed since the lists were made.
    """
    limits = score.limits()
    return [_verdict(name, limits, manifest) for name in GATES]


def require_passed(
    manifest: Mapping[str, Any], score: Score, *, is_current: bool = False
) -> dict[str, Any]:
    """Refuse lists that fail a gate; return the verdicts as entries of the stage's result.

    Args:
        manifest: Contents of `lists.json`.
        score: The section with the limits.
        is_current: Whether they are published, under other limits.

    Raises:
        GateError: When a gate refuses; it names each such gate, its figure, its limit and the fix,
            and its `made` has the verdicts.
    """
    told, refused = _told(judged(manifest, score))
    for name, lists in manifest.get("scenarios", {}).items():
        verdicts = [
            v._replace(complaint=v.complaint and _named(v.complaint, name, score))
            for v in judged(lists, score.of_scenario(name))
        ]
        of_lists, more = _told(verdicts)
        told.setdefault("scenarios", {})[name] = of_lists
        refused += more
    if refused:
        lines = "\n".join(f"  {complaint}" for complaint in refused)
        what = "are not published, the previous lists stay"
        if is_current:
            what = "are already published and stay published; headrace rollback takes them back"
        error = GateError(f"lists {manifest['id']} {what}: {len(refused)} gate(s) failed\n{lines}")
        error.made = told
        raise error
    return told


def _told(verdicts: Sequence[Verdict]) -> tuple[dict[str, Any], list[str]]:
    """Return verdicts as entries of the result, and the complaints of those that refuse."""
    warnings = [v.complaint for v in verdicts if v.complaint is not None and not v.refuses]
    for warning in warnings:
        log.warning("score: %s", warning)
    gates = {v.name: not v.refuses for v in verdicts}
    return {"gates": gates, "warnings": warnings}, [f"{v.complaint}" for v in verdicts if v.refuses]


def _named(complaint: str, name: str, score: Score) -> str:
    """Return a complaint with the name of the scenario that it is about, and its own keys."""
    gate, _, rest = of_scenario(complaint, name, score.scenarios[name]).partition(":")
    return f"{gate}: scenario {name}:{rest}"


def _verdict(name: str, limits: Gates, manifest: Mapping[str, Any]) -> Verdict:
    value, own = manifest["figures"].get(name), getattr(limits, name)
    is_above = isinstance(own, Above)
    for action in ("refuse", "warn"):
        key = f"{action}_{'above' if is_above else 'below'}"
        limit = getattr(own, key)
        if value is None or limit is None:
            continue
        if value > limit if is_above else value < limit:
            told = _complaint(name, value, f"score.gates.{name}.{key}={limit:g}", manifest)
            return Verdict(name, action == "refuse", told)
    return Verdict(name, False, None)


def _complaint(name: str, value: float, limit: str, manifest: Mapping[str, Any]) -> str:
    gate, counts = GATES[name], manifest["counts"]
    if gate.counted is None:
        what = f"{value:.4g} {gate.text} of {counts[gate.of]:,} users"
    else:
        what = f"{_count(gate, counts):,} of {_of(gate, counts):,} {gate.text} ({value:.4g})"
    if gate.counted == "short":
        why = Counter[str]()
        for told in ("short_lists", "users_without_lists"):
            why.update(manifest.get(told, {}))
        what += ": " * bool(why) + ", ".join(f"{n:,} by {reason}" for reason, n in why.items())
    return f"{name}: {what}, but the limit is {limit}; {gate.remedy}"


def _count(gate: _Gate, counts: Mapping[str, int | None]) -> int | None:
    if gate.counted == "short":
        return (counts["users"] or 0) - (counts["full_lists"] or 0)
    return None if gate.counted is None else counts.get(gate.counted)


def _of(gate: _Gate, counts: Mapping[str, int | None]) -> int:
    of = counts[gate.of] or 0
    return min(of, counts["model_rows"] or 0) if gate.of == "recommendable_items" else of


def _share(count: int | None, of: int) -> float | None:
    return None if count is None or not of else min(count / of, 1.0)
