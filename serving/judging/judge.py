"""Measure lists on the held-out events of a dataset, next to those of the main model alone."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from conf.contract import Bundle, Manifest, RowGroup
from conf.errors import ConfigError, InputError, VersionError
from conf.runs.inputs.input_files import InputFile
from conf.settings.config import Config
from conf.settings.score import POPULAR
from conf.workspace.versions import read_manifest
from serving.judging.figures import Measured, at_of, figures_of
from serving.judging.moment import Part, manifest_at
from serving.judging.steps import MODEL, POPULARITY, RANKER_ALONE, steps_of
from serving.judging.work import Judged, Judging, judge_groups
from serving.publishing.parts import read_item_ids
from serving.ranking.approximate import require_index
from serving.rules.reading.given import read_given
from serving.scoring.arranged import require_arrangeable
from serving.scoring.list_model import load_model
from serving.scoring.staged import stages_of
from trainer.cluster.ray_session import ray_session, require_room
from trainer.cluster.shares import device_of, on_workers
from trainer.data.trained_on import why_nothing_is_held_out
from trainer.models.bundle import require_same_vocabulary, require_unseen
from trainer.training.progress import signs_of_life

log = logging.getLogger(__name__)


def run(
    config: Config,
    *,
    dataset_id: str,
    model_id: str,
    models: Mapping[str, str],
    files: Mapping[str, Sequence[InputFile]],
    part: Part,
) -> dict[str, Any]:
    """Return the figures of the lists that the section `score` asks for.

    Each list is made as for publishing, from the history before a held-out event.

    Args:
        config: The run's configuration.
        dataset_id: The dataset that the main model was trained on.
        model_id: The main model.
        models: Models of other roles that candidates need, by role.
        files: Of `conf.runs.inputs.list_files.list_files`.
        part: The held-out part.

    Raises:
        ConfigError: When a model has seen the part, or a rule cannot be evaluated on it.
        VersionError: When the models do not belong to one dataset.
        InputError: When the part has no rows.
    """
    asked = prepared(config, dataset_id, model_id, models, files, part)
    log.info(
        "evaluate: %d targets, %d kinds of lists",
        sum(group.rows for group in asked.groups),
        len(asked.job.steps),
    )
    with ray_session(config), signs_of_life("evaluate"):
        require_room(config)
        found = on_workers(config, asked.groups, judge_groups, asked.job)
    return result_of(config, asked, found)


class Asked(NamedTuple):
    """What is measured, checked."""

    job: Judging
    manifest: Manifest
    """The dataset before the held-out events."""
    groups: Sequence[RowGroup]
    skipped: dict[str, str]
    """Lists that are not measured, with the reason."""


def prepared(
    config: Config,
    dataset_id: str,
    model_id: str,
    models: Mapping[str, str],
    files: Mapping[str, Sequence[InputFile]],
    part: Part,
) -> Asked:
    """Check that the lists can be measured; see `run`."""
    workspace, score = Path(config.run.output).resolve(), config.score
    whole = read_manifest(workspace, "datasets", dataset_id, Manifest)
    manifest, folder = manifest_at(whole, part), workspace / "datasets" / dataset_id
    for one in (model_id, *models.values()):
        _require_fitting(read_manifest(workspace, "models", one, Bundle), manifest, part)
    _require_unseen_by_popularity(config, part)
    groups = manifest.row_groups(part)
    targets = sum(group.rows for group in groups)
    if not targets:
        raise InputError(
            f"the {part} part of dataset {dataset_id} is empty: {why_nothing_is_held_out(manifest)}"
        )
    model = load_model(workspace, model_id, manifest)
    stages = stages_of(config, manifest, model, models, files)
    steps, skipped = steps_of(
        score,
        stages,
        has_model=model.scorer is not None,
        pairs_alone=targets * int(model.pools.model.sum()),
    )
    if score.index is not None:
        require_index("evaluate", model.scorer, f"{model_id} ({model.bundle.algorithm})")
    given = read_given(config, manifest, read_item_ids(folder, manifest), files)
    require_arrangeable(score, model, folder, manifest, given)
    if not steps:
        raise ConfigError(f"no lists can be measured: {skipped[RANKER_ALONE]}; raise it")
    device = device_of(config.train)
    seed = config.run.seed
    job = Judging(workspace, dataset_id, model_id, part, steps, given, device, seed)
    return Asked(job, manifest, groups, skipped)


def result_of(config: Config, asked: Asked, found: Sequence[Judged]) -> dict[str, Any]:
    """Return the figures of the targets of all row groups."""
    job, length = asked.job, config.score.list_length
    how = Measured(
        length,
        at_of(config.train.metrics_at, length),
        MODEL if MODEL in job.steps else POPULARITY,
        config.run.seed,
    )
    folder = job.workspace / "datasets" / job.dataset_id
    return {
        "part": job.part,
        **figures_of(found, [POPULARITY, *job.steps], folder, asked.manifest, how),
        "drop_seen": config.score.drop_seen,
        "as_of": asked.manifest.as_of,
        "skipped": asked.skipped,
        "context_without_value": list(found[0].without_value),
        "not_measured": _not_measured(config),
        "notes": _notes(config),
    }


def _notes(config: Config) -> list[str]:
    """Return what a reader of the figures has to know."""
    rules = config.score.rules
    if rules is None or not rules.leave_out or not config.score.drop_seen:
        return []
    return [
        "rows without rules leave out every item of the history (score.drop_seen), rows with rules "
        "only what score.rules.leave_out names. To see the effect of the rules alone, measure "
        "again with score.drop_seen=false; no model is trained again"
    ]


def _not_measured(config: Config) -> list[str]:
    """Return the settings of lists that the measured ones are made without."""
    rules = config.score.rules
    return ["score.rules.fatigue"] if rules is not None and rules.fatigue is not None else []


def _require_fitting(bundle: Bundle, manifest: Manifest, part: Part) -> None:
    """Refuse a model of another dataset: its training part may have the held-out events."""
    if bundle.dataset_id != manifest.id:
        raise VersionError(
            f"model {bundle.id} (role {bundle.role}) was trained on dataset {bundle.dataset_id}, "
            f"but the main model on {manifest.id}, whose held-out events it may have seen; run "
            "headrace train first"
        )
    require_same_vocabulary(bundle, manifest)
    require_unseen(bundle, part)


def _require_unseen_by_popularity(config: Config, part: Part) -> None:
    """Refuse channels that count held-out events."""
    refit, channels = config.train.refit, config.score.candidates or {}
    counted = [name for name, channel in channels.items() if channel.source in POPULAR]
    if counted and (refit == "everything" or (refit == "with_valid" and part == "valid")):
        raise ConfigError(
            f"score.candidates.{counted[0]} counts the {part} part too, since "
            f"train.refit={refit}, so this part cannot measure it; use train.refit=none"
        )
