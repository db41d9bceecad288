"""What a dataset must have before lists are made of it, and settings that fit it only in part."""

import logging
from collections.abc import Callable, Sequence

from conf.contract import NUM_RESERVED, Manifest, catalogue_size
from conf.errors import InputError, VersionError
from conf.settings.lists.rules import ListRules
from conf.settings.score import Scenario, Score
from serving.ranking.approximate import require_index
from serving.scoring.list_model import ListModel
from serving.scoring.staged import Staged

log = logging.getLogger(__name__)


def require_scorable(score: Score, manifest: Manifest, model: ListModel) -> None:
    """Refuse a dataset that no lists can be made of; warn of settings without effect.

    Args:
        score: The section `score`.
        manifest: The dataset.
        model: The main model.

    Raises:
        ConfigError: When a library is missing that the settings need.
        InputError: When the dataset has no users.
        VersionError: When its parts do not fit together.
    """
    if score.index is not None:
        named = f"{model.bundle.id} ({model.bundle.algorithm})"
        require_index("score", model.scorer, named, _why_not_searched(score))
    items = catalogue_size(manifest) - NUM_RESERVED
    if score.list_length > items:
        log.warning(
            "score: score.list_length=%d, but dataset %s has %d items; no list has more",
            score.list_length,
            manifest.id,
            items,
        )
    groups = {part: manifest.row_groups(part) for part in ("histories", "users")}
    rows = {part: [group.rows for group in found] for part, found in groups.items()}
    if rows["histories"] != rows["users"]:
        raise VersionError(
            f"users/ and histories/ of dataset {manifest.id} have different row "
            "groups; build the dataset again"
        )
    if not sum(rows["users"]):
        raise InputError(
            f"dataset {manifest.id} has no users, so there are no lists to make; "
            "build it again from a log with users"
        )


def _why_not_searched(score: Score) -> str | None:
    """Return why a network makes no list of these settings with `score.index`; None: it does."""
    similar = score.similar_items
    if similar is not None and similar.by == "model" and not changes_scores(similar.rules):
        return None
    of_network = [
        one
        for one in score.sections.values()
        if any(channel.source == "model" for channel in (one.candidates or {}).values())
        or (one.candidates is None and not changes_scores(one.rules))
    ]
    if of_network:
        return None
    return (
        "the lists are made of candidates without a channel from: model, or boosts or least_score "
        "of score.rules change the scores, and then the search is exact"
    )


def changes_scores(rules: ListRules | None) -> bool:
    """Return whether rules change scores: then the search is exact even with `score.index`."""
    return rules is not None and (bool(rules.boosts) or rules.least_score is not None)


def warn_of_dropped(
    manifest: Manifest, score: Score, own: Scenario | None, told: Callable[[str], str]
) -> None:
    """Warn of settings about types of events that the dataset has only in part.

    Args:
        manifest: The dataset.
        score: The section as it is for these lists.
        own: The section of their scenario; None: the default lists.
        told: Names the keys of the scenario in a message.
    """
    kept = manifest.config.get("etl", {}).get("repeated_items")
    if kept not in ("first", "last"):
        return
    asked: dict[str, Sequence[str]] = {}
    if score.rules is not None and (own is None or own.rules is not None):
        for name, rule in score.rules.leave_out.items():
            asked[f"score.rules.leave_out.{name}"] = rule.events
        if score.rules.fatigue is not None:
            asked["score.rules.fatigue"] = score.rules.fatigue.events
    if score.exploration is not None and (own is None or own.exploration is not None):
        asked["score.exploration"] = score.exploration.successes
    for key, types in asked.items():
        if types and {*manifest.event_types} - {*types}:
            what = (
                f"{key} misses some events of the type {' or '.join(types)}: of a user's events "
                f"with an item, dataset {manifest.id} has only the {kept} (etl.repeated_items="
                f"{kept}); keep has all, strongest has one of the type with the largest weight"
            )
            log.warning("score: %s", told(what))


def warn_of_context(staged: Staged) -> None:
    """Warn of fields of the context that the ranker takes and that lists cannot have."""
    if staged.without_value:
        log.warning(
            "score: the ranker takes %s, of which nothing is known when lists are made: it is "
            "given a missing value; set score.context, or train without them: "
            "ranker.ranking.features_left_out (train.ranking.features_left_out if the main model "
            "ranks)",
            ", ".join(staged.without_value),
        )
