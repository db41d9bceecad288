"""The trials of a search on disk: Optuna's journal, which outlives the process that writes it.

What is tried next depends on the seed and on the trials that are finished, on nothing else: a
search that was killed in the middle of a trial tries the same again, and goes on from there as if
nothing had happened.
"""

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
from optuna.trial import TrialState

from conf.errors import VersionError
from conf.settings.choosing import Dimension, Tune, is_whole

JOURNAL_NAME = "journal.log"
_OUTCOME = "outcome"
_TOLD = (TrialState.COMPLETE, TrialState.PRUNED)
optuna.logging.set_verbosity(optuna.logging.WARNING)


State = Literal["done", "pruned", "refused", "diverged", "failed"]


class Outcome(NamedTuple):
    """What a trial came to."""

    state: State
    settings: dict[str, Any]
    """What was tried, by key below `train`."""
    section: str
    """Hash of the whole section `train`, by which like trials are known; "" where it is none."""
    figure: float | None = None
    """Higher is better; None where there is none."""
    curve: tuple[float, ...] = ()
    """See `trainer.choosing.trial.Validated`."""
    seconds: float = 0.0
    message: str | None = None
    """Why it was refused, or ended without a figure."""
    same_as: int | None = None
    """Number of the trial, from 1, that had the same section before; it was not trained again."""


def open_study(folder: Path) -> optuna.Study:
    """Return the study of a folder; the caller has the workspace's lock.

    A trial in which the writer was killed counts no more.

    Raises:
        VersionError: When the journal is damaged by something else than a kill.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / JOURNAL_NAME
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
    except (ValueError, KeyError) as error:
        raise VersionError(
            f"{path} is damaged: {error}; restore it, or remove {folder} to search anew"
        ) from error
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    return study


def outcomes(study: optuna.Study) -> list[Outcome]:
    """Return what the finished trials came to, in their order."""
    told = study.get_trials(deepcopy=False, states=_TOLD)
    return [Outcome(**trial.user_attrs[_OUTCOME]) for trial in told]


def ask(study: optuna.Study, tune: Tune) -> optuna.Trial:
    """Return the next trial."""
    study.sampler = _sampler(tune, len(outcomes(study)))
    return study.ask({key: distribution(key, spec) for key, spec in tune.space.items()})


def tell(study: optuna.Study, trial: optuna.Trial, outcome: Outcome) -> None:
    """Record what a trial came to. From here on it is finished."""
    trial.set_user_attr(_OUTCOME, outcome._asdict())
    for epoch, figure in enumerate(outcome.curve, start=1):
        trial.report(figure, epoch)
    if outcome.state == "done":
        study.tell(trial, outcome.figure)
    else:  # what has no figure at all stands behind all others for the sampler
        study.tell(trial, state=TrialState.PRUNED)


def importances(study: optuna.Study) -> dict[str, float]:
    """Return the share of the figure's variance that each key explains, largest first.

    Source: Watanabe et al. 2023 (PED-ANOVA), of the trials that ended of themselves.
    """
    return optuna.importance.get_param_importances(study)


def settings_of(params: Mapping[str, Any], tune: Tune) -> dict[str, Any]:
    """Return the settings, by key below `train`, that a trial's parameters stand for."""
    return {
        key: json.loads(value) if tune.space[key].choice is not None else value
        for key, value in params.items()
    }


def distribution(key: str, spec: Dimension) -> BaseDistribution:
    """Return how a dimension is drawn; choices, which may be mappings, as JSON."""
    if spec.choice is not None:
        return CategoricalDistribution([json.dumps(value) for value in spec.choice])
    assert spec.low is not None and spec.high is not None, "the configuration's rules see to that"
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


def _drop_torn_line(path: Path) -> None:
    """Take away what a killed writer has left of a line: the next one would stand behind it."""
    if path.is_file():
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)
