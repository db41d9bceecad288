"""Which lists are measured: from the main model alone, one addition after another, to all of it."""

from dataclasses import replace
from typing import NamedTuple

from conf.contract import RANKER
from conf.settings.score import Score
from serving.scoring.staged import Stages

MODEL, FUSED, RANKED, RANKER_ALONE = "model", "candidates", "candidates + ranker", "ranker alone"
POPULARITY = "popularity"
ADDED = ("rules", "diversity", "exploration")
"""Settings of `score` that change lists after they are ranked, in the order of their effect."""


class Step(NamedTuple):
    """How lists are made."""

    score: Score
    stages: Stages | None
    """Channels and models of other roles; None: the lists are those of the main model alone."""


def steps_of(
    score: Score, stages: Stages | None, *, has_model: bool, pairs_alone: int
) -> tuple[dict[str, Step], dict[str, str]]:
    """Return the lists to measure by name, and why others are not measured.

    Args:
        score: The section `score`.
        stages: Channels and models of other roles; None: there are none.
        has_model: Whether the main model makes lists alone.
        pairs_alone: Pairs of a target and an item that the ranker alone would score.
    """
    score = measured(score)
    plain = score.model_copy(update=dict.fromkeys(ADDED))
    steps, skipped = {}, {}
    if has_model:
        steps[MODEL] = Step(plain, None)
    if stages is not None and RANKER in stages.models:
        if pairs_alone <= score.max_pairs:
            ranker = {RANKER: stages.models[RANKER]}
            steps[RANKER_ALONE] = Step(plain, replace(stages, channels={}, models=ranker))
        else:
            skipped[RANKER_ALONE] = (
                f"{pairs_alone:,} pairs of a target and an item are more than "
                f"score.max_pairs={score.max_pairs:,}"
            )
    if stages is not None and stages.channels:
        others = {role: model for role, model in stages.models.items() if role != RANKER}
        steps[FUSED] = Step(plain, replace(stages, models=others))
        if RANKER in stages.models:
            steps[RANKED] = Step(plain, stages)
    return {**steps, **_with_additions(steps, plain, score)}, skipped


def _with_additions(steps: dict[str, Step], plain: Score, score: Score) -> dict[str, Step]:
    """Return the main model's lists and the last ones again, with one addition after another."""
    found: dict[str, Step] = {}
    used = [name for name in ADDED if getattr(score, name) is not None]
    for name in dict.fromkeys([*list(steps)[:1], *list(steps)[-1:]]):
        for place, addition in enumerate(used):
            so_far = {one: getattr(score, one) for one in used[: place + 1]}
            own = plain.model_copy(update=so_far)
            title = " + ".join([name, *used[:place], addition])
            found[title] = steps[name]._replace(score=own)
    return found


def measured(score: Score) -> Score:
    """Return the section without what held-out events cannot measure: reasons and fatigue."""
    rules = score.rules
    if rules is not None:
        rules = rules.model_copy(update={"fatigue": None})
    return score.model_copy(update={"rules": rules, "reasons": 0})
