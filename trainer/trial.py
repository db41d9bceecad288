"""Train with one configuration as far as validation measures it; nothing is tested or saved."""

from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from conf.contract import Manifest
from conf.ranking_schema import LOWER_IS_BETTER
from conf.schema import Config
from trainer import blending, neural, ranking_training
from trainer.counting import COUNTING, fit_counting
from trainer.evaluate import source_of, validation_figure
from trainer.workers import fit

Bars = Sequence[float | None]


class Validated(NamedTuple):
    """What validation says of a training."""

    figure: float
    """`train.metric`, its sign turned where lower is better."""
    curve: tuple[float, ...] = ()
    """The best figure so far after each epoch; () where a model is fitted in one go."""
    is_pruned: bool = False
    """Whether a bar ended it."""


def validated(config: Config, manifest: Manifest, work: Path, bars: Bars) -> Validated:
    """Return what validation says of a configuration, trained as `headrace train` does.

    Args:
        config: The configuration.
        manifest: The dataset, of whose test part nothing is read.
        work: Folder of checkpoints; an interrupted training goes on from what lies there.
        bars: For each epoch of a network, the least best figure that is trained on; None: any.
    """
    return _KINDS[config.train.algorithm](config, manifest, work, bars)


def _network(config: Config, manifest: Manifest, work: Path, bars: Bars) -> Validated:
    neural.require_sound(config, manifest)
    return _watched(config, manifest, work, bars)


def _ranking(config: Config, manifest: Manifest, work: Path, bars: Bars) -> Validated:
    ranking_training.require_sound(config, manifest)
    return _watched(config, manifest, work, bars)


def _watched(config: Config, manifest: Manifest, work: Path, bars: Bars) -> Validated:
    cursor = fit(config, manifest, work, bars=bars).cursor
    return Validated(cursor["best_figure"], _best_so_far(config, cursor), cursor["pruned"])


def _best_so_far(config: Config, cursor: dict[str, Any]) -> tuple[float, ...]:
    metric = config.train.metric
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    return tuple(accumulate((sign * record[metric] for record in cursor["curve"]), max))


def _counted(config: Config, manifest: Manifest, work: Path, bars: Bars) -> Validated:
    neural.require_validation(manifest)
    model = fit_counting(config.train.algorithm, source_of(config, manifest))
    return Validated(validation_figure(config, manifest, model)[config.train.metric])


def _blended(config: Config, manifest: Manifest, work: Path, bars: Bars) -> Validated:
    return Validated(blending.blended_figure(config, manifest, work))


_KINDS: dict[str, Callable[[Config, Manifest, Path, Bars], Validated]] = {
    "neural": _network,
    "ranking": _ranking,
    "hybrid": _blended,
    **dict.fromkeys(COUNTING, _counted),
}
"""By `train.algorithm`."""
