"""Search a space of settings: one trial after another, each measured on validation alone."""

import logging
import shutil
import time
from pathlib import Path
from typing import Any

import optuna
from ray.train import TrainingFailedError

from conf.contract import Manifest
from conf.errors import ConfigError, DivergedError, HeadraceError, VersionError
from conf.runs.lineage import with_start
from conf.runs.scratch import stop_if_storage_failed
from conf.settings.choosing import Pruning, nested
from conf.settings.config import Config
from conf.settings.variants import with_changes
from conf.workspace.hashes import canonical_hash
from conf.workspace.versions import read_manifest, version_id
from trainer.algorithms.launch import work_folder
from trainer.choosing.pruning import halving_bars, median_bars
from trainer.choosing.study import (
    Outcome,
    State,
    ask,
    importances,
    open_study,
    outcomes,
    settings_of,
    tell,
)
from trainer.choosing.trial import Bars, validated
from trainer.cluster.ray_session import ray_session, require_room
from trainer.training.progress import signs_of_life

log = logging.getLogger(__name__)
FOLDER = "tuning"
IMPORTANCE_TRIALS = 10
"""Fewest trials with a figure for which importances are reported."""


def run(config: Config, *, dataset_id: str, request: str) -> dict[str, Any]:
    """Run the missing trials of `tune`; return all trials and the best one.

    Args:
        config: The run's configuration.
        dataset_id: The dataset.
        request: Key of the search; its earlier trials are kept.

    Raises:
        ConfigError: When no trial has a figure.
    """
    workspace = Path(config.run.output)
    manifest = read_manifest(workspace, "datasets", dataset_id, Manifest)
    name = version_id(config.run.name, manifest.logical_date, request)
    folder = workspace / FOLDER / name
    study = open_study(folder)
    work = work_folder(config, request)
    if _has_more(config, study):
        with ray_session(config), signs_of_life("tune"):
            while _has_more(config, study):
                _make_trial(config, manifest, study, folder, work)
    shutil.rmtree(work, ignore_errors=True)
    return {"id": name, "metric": config.train.metric, **_told(config, study)}


def _has_more(config: Config, study: optuna.Study) -> bool:
    done, budget = outcomes(study), config.tune.budget_seconds
    is_in_time = budget is None or sum(outcome.seconds for outcome in done) < budget
    return is_in_time and len(done) < config.tune.trials


def _make_trial(
    config: Config, manifest: Manifest, study: optuna.Study, folder: Path, work: Path
) -> None:
    """Run the next trial; a trial that is killed before `tell` is repeated."""
    before = outcomes(study)
    trial = ask(study, config.tune)
    number, settings = len(before) + 1, settings_of(trial.params, config.tune)
    log.info("tune: trial %d of %d: %s", number, config.tune.trials, settings)
    try:
        changed = _changed(config, number, settings, manifest.id)
    except ConfigError as error:
        outcome = Outcome("refused", settings, "", message=str(error))
    else:
        bars = _bars(config.tune.pruning, changed.train.epochs, before)
        outcome = _tried(changed, manifest, work, settings, before, bars)
    tell(folder, study, trial, outcome)
    shutil.rmtree(work / _name(outcome.section), ignore_errors=True)
    figure = "no figure" if outcome.figure is None else f"{abs(outcome.figure):.4f}"
    log.info("tune: trial %d %s, %s %s", number, outcome.state, config.train.metric, figure)


def _changed(config: Config, number: int, settings: dict[str, Any], dataset_id: str) -> Config:
    where = f"trial {number}"
    changed = with_start(with_changes(config, where, nested(settings)), dataset_id)
    if changed.train.algorithm == "auto":
        raise ConfigError(f"{where}: algorithm 'auto' is no model; choose among the others")
    require_room(changed)
    return changed


def _tried(
    config: Config,
    manifest: Manifest,
    work: Path,
    settings: dict[str, Any],
    before: list[Outcome],
    bars: Bars,
) -> Outcome:
    """Train and measure, unless a trial with the same section was made before."""
    section = canonical_hash(config.train.model_dump(mode="json"))
    for number, outcome in enumerate(before, start=1):
        if outcome.section == section:
            return outcome._replace(
                settings=settings, seconds=0.0, curve=(), same_as=outcome.same_as or number
            )
    own = work / _name(section)
    own.mkdir(exist_ok=True)
    started = time.monotonic()
    outcome = _measured(config, manifest, own, Outcome("done", settings, section), bars)
    return outcome._replace(seconds=round(time.monotonic() - started, 1))


def _measured(config: Config, manifest: Manifest, own: Path, blank: Outcome, bars: Bars) -> Outcome:
    try:
        found = validated(config, manifest, own, bars)
    except DivergedError as error:
        return blank._replace(state="diverged", message=str(error))
    except (ConfigError, VersionError) as error:  # such as a warm start that does not fit
        return blank._replace(state="refused", message=str(error))
    except (HeadraceError, TrainingFailedError) as error:  # after `train.max_failures` retries
        stop_if_storage_failed(error, config)  # that is no fault of the settings
        return blank._replace(state="failed", message=str(error).strip().splitlines()[-1])
    state: State = "pruned" if found.is_pruned else "done"
    return blank._replace(state=state, figure=found.figure, curve=found.curve)


def _name(section: str) -> str:
    """Return the name of a trial's folder; if repeated after a kill, it finds checkpoints there."""
    return f"trial-{section[:12]}"


def _bars(spec: Pruning, epochs: int, before: list[Outcome]) -> Bars:
    """Return the figure that a network must reach at each epoch to continue."""
    if spec.kind == "median":
        finished = [outcome.curve for outcome in before if outcome.state == "done"]
        return median_bars(
            finished,
            epochs=epochs,
            warmup_epochs=spec.warmup_epochs,
            startup_trials=spec.startup_trials,
        )
    if spec.kind == "halving":
        return halving_bars(
            [outcome.curve for outcome in before],
            epochs=epochs,
            warmup_epochs=spec.warmup_epochs,
            reduction_factor=spec.reduction_factor,
        )
    return []


def _told(config: Config, study: optuna.Study) -> dict[str, Any]:
    """Return the trials, the best of them and the importance of each key, as the result."""
    found = outcomes(study)
    done = [number for number, outcome in enumerate(found) if outcome.state == "done"]
    if not done:
        why = next((outcome.message for outcome in found if outcome.message), "no trial was run")
        raise ConfigError(
            f"tune: none of {len(found)} trials has a figure; reason of the first one: {why}"
        )
    best = max(done, key=lambda number: (found[number].figure, -number))
    figures = {found[number].figure for number in done}
    can_tell = len(done) >= IMPORTANCE_TRIALS and len(figures) > 1 and len(config.tune.space) > 1
    return {
        "trials": [_row(number, outcome) for number, outcome in enumerate(found, start=1)],
        "best": {
            "trial": best + 1,
            "value": abs(found[best].figure or 0.0),
            "settings": _below_train(found[best].settings),
        },
        "importance": _below_train(importances(study)) if can_tell else None,
    }


def _row(number: int, outcome: Outcome) -> dict[str, Any]:
    return {
        "trial": number,
        "state": outcome.state,
        "value": None if outcome.figure is None else abs(outcome.figure),
        "epochs": len(outcome.curve) or None,
        "seconds": outcome.seconds,
        "settings": _below_train(outcome.settings),
        "message": outcome.message,
        "same_as": outcome.same_as,
    }


def _below_train(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values with `train.` before each key."""
    return {f"train.{key}": value for key, value in values.items()}
