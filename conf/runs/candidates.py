"""What lists of candidates are made from besides the dataset and the main model."""

from pathlib import Path
from typing import Any

from conf.privacy.learned import warn_of_erased
from conf.runs.chosen import chosen_version, require_publishable
from conf.runs.results import manifest_of
from conf.runs.roles import role_configs
from conf.settings.config import Config
from conf.settings.score import POPULAR


def default_lists(config: Config) -> Config:
    """Return the configuration without scenarios, audiences and similar items."""
    alone: dict[str, Any] = {"scenarios": {}, "audiences": {}, "similar_items": None}
    return config.model_copy(update={"score": config.score.model_copy(update=alone)})


def chosen_models(config: Config, main: str, logical_date: str | None) -> dict[str, str]:
    """Return the current model of each further role that lists need, or that of a day."""
    if not config.score.has_candidates:
        return {}
    algorithm = manifest_of(Path(config.run.output), "models", main).get("algorithm", "")
    found = {}
    for role, own in role_configs(config, algorithm):
        found[role] = chosen_version(own, "models", logical_date, role)
        require_publishable(own, found[role], role)
    return found


def stages_of(config: Config, models: dict[str, str], algorithm: str) -> dict[str, Any] | None:
    """Return what candidates depend on, for the key of lists; None if there are no candidates.

    Args:
        config: The run's configuration.
        models: Models of other roles.
        algorithm: That of the main model; a ranking model's candidates may be the whole catalogue.
    """
    score = config.score
    if not score.has_candidates and algorithm != "ranking":
        return None
    candidates = [score.candidates, *(one.candidates for one in score.scenarios.values())]
    kinds = {channel.source for channels in candidates for channel in (channels or {}).values()}
    counting = config.train.counting.recent_popularity.model_dump(mode="json")
    return {
        "models": models,
        **({"refit": config.train.refit} if kinds & set(POPULAR) else {}),
        **({"recency": counting} if "recent_popularity" in kinds else {}),
    }


def warn_of_erased_in(config: Config, models: dict[str, str]) -> None:
    """Warn of each model that learned from people who were erased since."""
    for model in models.values():
        warn_of_erased(Path(config.run.output), model, "score")
