"""The channels of `score.candidates` and the ranker, loaded, for the lists of a dataset.

Legend of shapes: V catalogue of the dataset.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from conf.contract import NUM_RESERVED, RANKER, Bundle, Manifest, catalogue_size
from conf.errors import ConfigError
from conf.runs.inputs.input_files import InputFile
from conf.settings.config import Config
from conf.settings.score import POPULAR, Score
from conf.settings.score import Channel as ChannelSettings
from conf.settings.train import Train
from conf.workspace.versions import read_manifest
from serving.publishing.parts import read_item_ids
from serving.ranking.channels import Channel, ModelChannel, OrderedChannel, WholeCatalogue
from serving.ranking.objective import Objective, item_worth, objective_of
from serving.ranking.orders import Orders, by_field, overall
from serving.ranking.rankers import Ranker, make_ranker
from serving.ranking.two_stage import TwoStage
from serving.rules.guaranteed import Guaranteed
from serving.rules.possible import Pools
from serving.scoring.list_model import ListModel, is_personal, load_model
from serving.scoring.picks import read_picks
from trainer.models.bundle import require_same_vocabulary
from trainer.models.fit_source import FitSource
from trainer.prediction.pairs import load_pairs


@dataclass(frozen=True)
class Stages:
    """What lists of candidates are made from besides the dataset and the main model."""

    channels: Mapping[str, ChannelSettings]
    models: Mapping[str, str]
    """Model of each further role."""
    train: Train
    """Which events popularity counts."""
    seed: int
    picks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Item ids of each channel that is a list, best first, as the dataset has them."""


class Staged(NamedTuple):
    """Channels and ranker, ready to make lists."""

    two_stage: TwoStage
    pools: Pools
    """With all items that a channel can name."""
    guaranteed: tuple[Guaranteed, ...]
    """For the gates: what channels name for sure."""
    is_personal: bool
    """Whether lists of different users should differ."""
    without_value: tuple[str, ...]
    """Fields of the context that the ranker takes, and that have no sound value."""


def stages_of(
    config: Config,
    manifest: Manifest,
    main: ListModel,
    models: Mapping[str, str],
    files: Mapping[str, Sequence[InputFile]],
) -> Stages | None:
    """Return what lists of candidates are made from; None: they are those of the main model.

    A ranking model as the main one orders the candidates itself; without channels, the catalogue.

    Raises:
        ConfigError: When there are more pairs of users and items than `score.max_pairs`.
        InputError: When a list of items cannot be read, or has no item of the dataset.
    """
    channels = config.score.candidates
    if channels is None and main.scorer is not None:
        return None
    if channels is None:
        _require_affordable(config.score, manifest, main)
        channels = {}
    if main.scorer is None:
        models = {**models, RANKER: main.bundle.id}
    picks = {
        name: read_picks(config, manifest, key, files[key][0].path)
        for name in channels
        if (key := f"score.candidates.{name}") in files
    }
    return Stages(channels, models, config.train, config.run.seed, picks)


def _require_affordable(score: Score, manifest: Manifest, main: ListModel) -> None:
    users = sum(group.rows for group in manifest.row_groups("histories"))
    items = int(main.pools.model.sum())
    if users * items > score.max_pairs:
        raise ConfigError(
            f"score.candidates is null, so the ranking model {main.bundle.id} would score "
            f"{users:,} users times {items:,} items, {users * items:,} pairs, more than "
            f"score.max_pairs={score.max_pairs:,}; name channels in score.candidates, such as "
            "{near: {from: item_knn, count: 200}}, or raise score.max_pairs"
        )


def orders_of(score: Score) -> tuple[object, ...]:
    """Return what the order of candidates depends on besides channels and models."""
    return score.objective, score.value, score.context


def load_staged(
    workspace: Path,
    manifest: Manifest,
    main: ListModel,
    stages: Stages,
    score: Score,
    device: torch.device,
    own: Ranker | None = None,
) -> Staged:
    """Return the channels and the ranker of `score.candidates`.

    Args:
        workspace: Folder of the workspace.
        manifest: The dataset.
        main: The main model.
        stages: The channels and the models of the other roles.
        score: The section `score`.
        device: Where the models work.
        own: The ranker of the main model, to share its vectors; None: it is made.

    Raises:
        VersionError: When a model does not belong to the dataset, or the dataset lacks a field.
    """
    found: list[Channel] = []
    for name, settings in stages.channels.items():
        if settings.source == "list" or settings.source in POPULAR:
            found.append(_ordered(workspace, manifest, stages, name))
        else:
            model = main
            if name in stages.models:
                model = _model_of_role(workspace, stages.models[name], manifest)
            shared = own if model is main else None
            found.append(channel_of_model(name, settings.count, model, score, device, shared))
    if not found:
        found.append(WholeCatalogue("catalogue", main.pools.model))
    model_pool = np.any([channel.pool for channel in found], axis=0)
    guaranteed = tuple(
        Guaranteed(channel.pool, channel.count, channel.is_personal)
        for channel in found
        if channel.names_all
    )
    everybody = not all(channel.is_personal for channel in found)
    pools = Pools(model_pool, main.pools.fallback, everybody)
    personal = any(channel.is_personal for channel in found)
    ranker = _ranker(workspace, manifest, stages, score, device)
    without = () if ranker is None else ranker.pairs.context.without_value
    two_stage = TwoStage(found, ranker)
    return Staged(two_stage, pools, guaranteed, personal or ranker is not None, without)


def _ranker(
    workspace: Path, manifest: Manifest, stages: Stages, score: Score, device: torch.device
) -> Objective | None:
    """Return what orders the candidates; None: their ranks do."""
    if RANKER not in stages.models:
        return None
    folder, model = workspace / "datasets" / manifest.id, stages.models[RANKER]
    pairs = load_pairs(workspace, model, manifest, score.context, device)
    worth = None if score.value is None else item_worth(folder, manifest, score.value)
    return objective_of(pairs, score.objective, worth)


def _model_of_role(workspace: Path, model_id: str, manifest: Manifest) -> ListModel:
    require_same_vocabulary(read_manifest(workspace, "models", model_id, Bundle), manifest)
    return load_model(workspace, model_id, manifest)


def channel_of_model(
    name: str,
    count: int,
    model: ListModel,
    score: Score,
    device: torch.device,
    ranker: Ranker | None = None,
) -> ModelChannel:
    """Return a channel that names the best items of a model.

    Args:
        name: Of the channel.
        count: Items that it names.
        model: The model, which scores a catalogue.
        score: The section `score`.
        device: Where the model works.
        ranker: That of the model, to share its vectors; None: it is made.
    """
    assert model.scorer is not None  # a rule of the configuration
    if ranker is None:
        scorer = model.scorer.to(device)
        ranker = make_ranker(scorer, score, model_id=model.bundle.id, num_items=model.num_items)
    return ModelChannel(
        name=name,
        count=count,
        pool=model.pools.model,
        is_personal=is_personal(model.scorer),
        ranker=ranker,
        num_items=model.num_items,
        unknown=model.unknown,
    )


def _ordered(workspace: Path, manifest: Manifest, stages: Stages, name: str) -> OrderedChannel:
    settings, folder = stages.channels[name], workspace / "datasets" / manifest.id
    size, users = catalogue_size(manifest), manifest.vocabularies["user"].size
    if settings.source == "list":
        picked = _numbers_of(stages.picks[name], folder, manifest)
        orders = Orders([picked], np.zeros(users, dtype=np.int64))
    else:
        refit = stages.train.refit != "none"
        source = FitSource(stages.train, stages.seed, folder, manifest, refit)
        orders = (
            overall(source, settings.source)
            if settings.by is None
            else by_field(source, settings.source, settings.by)
        )
    pool = np.zeros(size, dtype=bool)
    for order in orders.of_groups:
        pool[order] = True
    return OrderedChannel(name, settings.count, pool, orders.of_groups, orders.groups)


def _numbers_of(ids: tuple[str, ...], folder: Path, manifest: Manifest) -> np.ndarray:
    """Return the numbers of item ids; those that the dataset lacks are left out."""
    places = pc.index_in(pa.array(ids, pa.string()), value_set=read_item_ids(folder, manifest))
    numbers: np.ndarray = places.drop_null().to_numpy().astype(np.int64)
    return numbers[numbers >= NUM_RESERVED]
