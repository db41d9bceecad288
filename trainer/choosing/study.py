"""The trials of a search on disk: Optuna's journal, which outlives the process that writes it.

The next trial depends only on the seed and the finished trials. A search that was killed during a
trial repeats this trial and continues as if nothing had happened.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from conf.errors import VersionError
from conf.settings.choosing import Dimension, Tune, is_whole
from conf.workspace.folders import own_folder
from conf.workspace.json_files import is_there, read_json, read_plain, write_json

JOURNAL_NAME = "journal.log"
_MARKER_NAME = "journal.json"
# What Optuna raises for lines that are not its own.
_DAMAGE = (ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError)
_OUTCOME = "outcome"
_TOLD = (TrialState.COMPLETE, TrialState.PRUNED)
optuna.logging.set_verbosity(optuna.logging.WARNING)


State = Literal["done", "pruned", "refused", "diverged", "failed"]


class Outcome(NamedTuple):
    """The result of a trial."""

    state: State
    settings: dict[str, Any]
    """Settings of the trial, by key below `train`."""
    section: str
    """Hash of the whole section `train`, equal for equal trials; "" if the section was refused."""
    figure: float | None = None
    """Higher is better; None if the trial has none."""
    curve: tuple[float, ...] = ()
    """See `trainer.choosing.trial.Validated`."""
    seconds: float = 0.0
    message: str | None = None
    """Why it was refused, or ended without a figure."""
    same_as: int | None = None
    """Number, from 1, of an earlier trial with the same section; this trial was not trained."""


def open_study(folder: Path) -> optuna.Study:
    """Return the study of a folder; the caller holds the workspace's lock.

    A trial during which the process was killed is marked as failed.

    Raises:
        VersionError: When the journal is damaged, other than by a kill.
    """
    path = own_folder(folder) / JOURNAL_NAME
    _require_sound(path)
    _drop_torn_line(path)
    for left in folder.glob(f"{JOURNAL_NAME}.lock*"):
        left.unlink()
    try:
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(path))),
            study_name="search",
            direction="maximize",
            load_if_exists=True,
        )
    except _DAMAGE as error:
        raise _damaged(path, repr(error)) from error
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    return study


def outcomes(study: optuna.Study) -> list[Outcome]:
    """Return the outcomes of the finished trials, in their order."""
    return [_outcome(trial) for trial in study.get_trials(deepcopy=False, states=_TOLD)]


def ask(study: optuna.Study, tune: Tune) -> optuna.Trial:
    """Return the next trial."""
    study.sampler = _sampler(tune, len(outcomes(study)))
    return study.ask({key: distribution(key, spec) for key, spec in tune.space.items()})


def tell(folder: Path, study: optuna.Study, trial: optuna.Trial, outcome: Outcome) -> None:
    """Record the outcome of a trial, which is finished from then on."""
    trial.set_user_attr(_OUTCOME, outcome._asdict())
    for epoch, figure in enumerate(outcome.curve, start=1):
        trial.report(figure, epoch)
    if outcome.state == "done":
        study.tell(trial, outcome.figure)
    else:  # the sampler ranks a trial without a figure last
        study.tell(trial, state=TrialState.PRUNED)
    path = folder / JOURNAL_NAME
    content = path.read_bytes()
    write_json(folder / _MARKER_NAME, _mark(content))


def importances(study: optuna.Study) -> dict[str, float]:
    """Return the share of the figure's variance that each key explains, largest first.

    Source: Watanabe et al. 2023 (PED-ANOVA), with the trials that were not stopped early.
    """
    return optuna.importance.get_param_importances(study)


def settings_of(params: Mapping[str, Any], tune: Tune) -> dict[str, Any]:
    """Return the settings of a trial's parameters, by key below `train`."""
    return {
        key: json.loads(value) if tune.space[key].choice is not None else value
        for key, value in params.items()
    }


def distribution(key: str, spec: Dimension) -> BaseDistribution:
    """Return the distribution of a dimension; choices, which may be mappings, are drawn as JSON."""
    if spec.choice is not None:
        return CategoricalDistribution([json.dumps(value) for value in spec.choice])
    assert spec.low is not None and spec.high is not None, "the configuration's rules ensure this"
    if is_whole(key):
        step = 1 if spec.step is None else int(spec.step)
        high = spec.low + (spec.high - spec.low) // step * step
        return IntDistribution(int(spec.low), int(high), log=spec.log, step=step)
    return FloatDistribution(float(spec.low), float(spec.high), log=spec.log, step=spec.step)


def _sampler(tune: Tune, finished: int) -> BaseSampler:
    seed = int(np.random.SeedSequence([tune.seed, finished]).generate_state(1)[0])
    if tune.sampler == "random":
        return RandomSampler(seed=seed)
    return TPESampler(seed=seed, n_startup_trials=tune.startup_trials)


def _outcome(trial: FrozenTrial) -> Outcome:
    """Return the outcome of a finished trial.

    Raises:
        VersionError: When the journal does not have it as `tell` wrote it.
    """
    try:
        return Outcome(**trial.user_attrs[_OUTCOME])
    except (KeyError, TypeError) as error:
        raise VersionError(
            f"tune: trial {trial.number + 1} of the search has no outcome in its journal, which is "
            "damaged; remove the search's folder in tuning/ to start again"
        ) from error


def _mark(content: bytes) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _require_sound(path: Path) -> None:
    """Refuse a journal whose finished trials are not as they were written.

    The lines after them are of a trial that was interrupted.
    """
    marker = path.with_name(_MARKER_NAME)
    content = read_plain(path) if is_there(path) else b""
    if is_there(marker):
        told = read_json(marker)
        length = told.get("bytes")
        if type(length) is not int or _mark(content[:length]) != told:
            raise _damaged(path, f"its content does not fit {marker.name}")


def _damaged(path: Path, why: str) -> VersionError:
    return VersionError(
        f"{path} is damaged: {why}; restore it, or remove {path.parent} to start the search again"
    )


def _drop_torn_line(path: Path) -> None:
    """Remove an incomplete last line of a killed process: the next line would be appended to it."""
    if path.is_file():
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)
