"""Train with one configuration and measure it on validation; nothing is tested or saved."""

from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from conf.contract import Manifest
from conf.errors import InputError
from conf.settings.config import Config
from conf.settings.model import LOWER_IS_BETTER
from trainer.algorithms import blended
from trainer.evaluation.figures import source_of, validation_figure
from trainer.models.counting import COUNTING, fit_counting
from trainer.ranking import train as ranking_train
from trainer.ranking.task import RankingTask
from trainer.retrieval import train as retrieval_train
from trainer.training.workers import Fitted, fit, without_figure

Bars = Sequence[float | None]


class Validated(NamedTuple):
    """The validation result of a training."""

    figure: float
    """`train.metric`, with its sign changed if lower is better."""
    curve: tuple[float, ...] = ()
    """The best figure so far after each epoch; () if the model is fitted without epochs."""
    is_pruned: bool = False
    """Whether the training was stopped at a bar."""


def validated(config: Config, manifest: Manifest, work: Path, bars: Bars) -> Validated:
    """Return the validation result of a configuration, trained as `headrace train` does.

    Args:
        config: The configuration.
        manifest: The dataset; its test part is not read.
        work: Folder of checkpoints; an interrupted training continues from them.
        bars: For each epoch of a network, the best figure so far that it needs to continue; None:
            any.
    """
    return _KINDS[config.train.algorithm](config, manifest, work, bars)


def _network(config: Config, manifest: Manifest, work: Path, bars: Bars) -> Validated:
    retrieval_train.require_sound(config, manifest)
    fitted = retrieval_train.fit_network(config, manifest, work, bars=bars)
    return _validated(config, manifest, fitted)


def _ranking(config: Config, manifest: Manifest, work: Path, bars: Bars) -> Validated:
    ranking_train.require_sound(config, manifest)
    return _validated(config, manifest, fit(config, manifest, work, RankingTask(), bars=bars))


def _validated(config: Config, manifest: Manifest, fitted: Fitted) -> Validated:
    cursor = fitted.cursor
    if cursor["best_figure"] is None:
        raise InputError(f"{without_figure(config.train.metric, manifest)}; use another figure")
    return Validated(cursor["best_figure"], _best_so_far(config, cursor), cursor["pruned"])


def _best_so_far(config: Config, cursor: dict[str, Any]) -> tuple[float, ...]:
    metric = config.train.metric
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    return tuple(accumulate((sign * record[metric] for record in cursor["curve"]), max))


def _counted(config: Config, manifest: Manifest, work: Path, bars: Bars) -> Validated:
    retrieval_train.require_validation(manifest)
    model = fit_counting(config.train.algorithm, source_of(config, manifest))
    figure = validation_figure(config, manifest, model)[config.train.metric]
    assert figure is not None, "a validation part has targets"
    return Validated(figure)


def _blended(config: Config, manifest: Manifest, work: Path, bars: Bars) -> Validated:
    return Validated(blended.blended_figure(config, manifest, work))


_KINDS: dict[str, Callable[[Config, Manifest, Path, Bars], Validated]] = {
    "neural": _network,
    "ranking": _ranking,
    "hybrid": _blended,
    **dict.fromkeys(COUNTING, _counted),
}
"""Function by `train.algorithm`."""
