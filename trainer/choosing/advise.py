"""Recommend a configuration to start from, for a dataset and a machine, with reasons.

Each rule looks at figures of the dataset and of the machine and gives one reason for its choice.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conf.contract import Manifest
from conf.settings.config import Config
from conf.settings.model import RANKING_METRICS
from conf.settings.train import Train
from conf.workspace.versions import read_manifest
from trainer.choosing.dataset_profile import Profile, profile_of
from trainer.choosing.expected import BYTES_PER_WEIGHT, EPOCHS, expected_cost
from trainer.cluster.machine import Machine, this_machine

_FEW_EVENTS, _FEW_USERS = 20_000, 300
_SHORT = 2
"""Median history length up to which the order of events says little."""
_RECURRENT = 200
"""History length up to which a recurrent network was better than attention, after less training:
on Amazon Beauty (median 6 events) and on MovieLens 1M (median 96, the newest 200)."""
_WIDE = 100_000
"""Number of events from which twice the width, with a dropout of .6 instead of .5, was worth the
time: on Amazon Beauty (131,413 events) NDCG@10 was .0541 instead of .0527."""
_COUNTABLE = 20_000
"""Number of items up to which EASE takes seconds: its matrix grows with the square of it."""
_COLD = 0.05
"""Share of cold targets above which the advice mentions them."""

_OF_NETWORKS: dict[str, Any] = {
    "save_optimizer": False,
    "warm_start.model": None,
}
"""Keys of `train` that only the `neural` algorithm accepts, each with its "off" value."""
_METRIC = "ndcg@10"


@dataclass
class Advice:
    """Settings by dotted key, and the reason for each choice."""

    settings: dict[str, Any] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)

    def choose(self, reason: str, **settings: Any) -> None:
        """Add a reason and the settings that it leads to (`__` in a key stands for a dot)."""
        self.reasons.append(reason)
        self.settings |= {key.replace("__", "."): value for key, value in settings.items()}


def run(config: Config, *, dataset_id: str) -> dict[str, Any]:
    """Return the advice for a committed dataset on this machine, with the figures behind it."""
    folder = Path(config.run.output) / "datasets" / dataset_id
    manifest = read_manifest(Path(config.run.output), "datasets", dataset_id, Manifest)
    profile, machine = profile_of(folder, manifest), this_machine()
    advice = advise(profile, machine)
    others = what_does_not_fit(config.train, advice.settings)
    if others:
        advice.settings |= others
        advice.reasons.append(
            f"without these changes the configuration would be refused: {', '.join(others)}"
        )
    patience = {"train.patience_epochs": config.train.patience_epochs}
    cost = expected_cost(profile, machine, {**advice.settings, **patience})
    if cost is not None:
        advice.reasons.append(_assumed(config.train, cost))
    return {
        "dataset": vars(profile),
        "machine": vars(machine),
        "settings": advice.settings,
        "because": advice.reasons,
        "expected": cost,
    }


def _assumed(train: Train, cost: dict[str, float]) -> str:
    """Return which epochs an estimate is for, and what those of the configuration would take."""
    epochs, patience = int(cost["epochs"]), train.patience_epochs
    said = f"the estimate is for all {epochs} epochs advised here"
    if epochs > patience + 1:
        said += (
            f"; train.patience_epochs={patience} may end the training after {patience + 1} of them"
        )
    if "epochs" in train.written and train.epochs != epochs:
        minutes = train.epochs * cost["seconds_per_epoch"] / 60
        said += f"; the train.epochs={train.epochs} of your file would take {minutes:.1f} minutes"
    return said


def advise(profile: Profile, machine: Machine) -> Advice:
    """Return the configuration to start from."""
    advice = Advice()
    if profile.labels and profile.logged_negatives:
        _for_ranking(profile, advice)
    elif is_small(profile):
        advice.choose(
            f"{profile.events:,} events of {profile.users:,} users are few: a counting model "
            "(EASE, item neighbours) is better than a network, which would overfit",
            train__algorithm="ease" if profile.items <= _COUNTABLE else "item_knn",
        )
    else:
        _for_retrieval(profile, machine, advice)
    if profile.cold_share is not None and profile.cold_share > _COLD:
        _for_cold_items(profile.cold_share, profile, advice)
    _for_machine(machine, advice)
    return advice


def advise_network(profile: Profile, machine: Machine) -> Advice:
    """Return the configuration of a network over the catalogue, whatever else would be advised."""
    advice = Advice()
    _for_retrieval(profile, machine, advice)
    if profile.cold_share is not None and profile.cold_share > _COLD:
        _for_cold_items(profile.cold_share, profile, advice)
    _for_machine(machine, advice)
    return advice


def is_small(profile: Profile) -> bool:
    """Return whether the dataset is too small for a network."""
    return profile.events < _FEW_EVENTS or profile.users < _FEW_USERS


def _for_cold_items(cold_share: float, profile: Profile, advice: Advice) -> None:
    said = f"{cold_share:.0%} of the validation events have an item without training events"
    if advice.settings.get("train.algorithm") == "neural" and profile.item_features:
        advice.choose(
            f"{said}: use the {len(profile.item_features)} item feature(s) to recommend these "
            "items, and add them to the catalogue with etl.catalogue=table",
            train__model__content__features="all",
        )
        return
    way = (
        "declare some features"
        if not profile.item_features
        else "train such a network (train.algorithm=neural)"
    )
    advice.choose(
        f"{said}, and only a network that uses item features (etl.features.items) can recommend "
        f"these items: {way}, or train more often"
    )


def _for_ranking(profile: Profile, advice: Advice) -> None:
    num_features = len(profile.item_features)
    advice.choose(
        f"the log contains items that users were shown but did not choose (labels: "
        f"{', '.join(profile.labels)}): rank impressions, with the items and {num_features} item "
        "feature(s) as input",
        train__algorithm="ranking",
        train__metric="auc",
        train__batch_rows=4096,
    )
    history = "target_attention" if profile.median_length > _SHORT else "none"
    advice.choose(
        f"the median history length is {profile.median_length}: "
        + (
            "use histories, with events weighted by the candidate item"
            if history != "none"
            else "do not use histories"
        ),
        train__ranking__interaction="finalmlp",
        train__ranking__history=history,
    )


def _for_retrieval(profile: Profile, machine: Machine, advice: Advice) -> None:
    advice.choose(
        "the log does not contain items that users were shown but did not choose: score the whole "
        "catalogue",
        train__algorithm="neural",
    )
    _encoder(profile, machine, advice)
    _size(profile, machine, advice)
    _similarity(advice)
    _loss(profile, machine, advice)
    if profile.event_types > 1:
        advice.choose(
            f"the log has {profile.event_types} event types: use the type of each event as input",
            train__model__event_types=True,
        )
    if profile.event_features:
        said = (
            f"histories contain {len(profile.event_features)} event feature(s): use them as input"
        )
        advice.choose(said, train__model__event_features="all")
    if profile.items <= _COUNTABLE:
        advice.choose(
            f"with {profile.items:,} items a counting model (train.algorithm=ease) takes seconds "
            "and is sometimes better: measure both with headrace compare, or blend them "
            "(train.algorithm=hybrid)"
        )


def _encoder(profile: Profile, machine: Machine, advice: Advice) -> None:
    length = min(max(_rounded(profile.long_length), 20), 200 if machine.gpus == 0 else 512)
    if profile.median_length <= _SHORT:
        advice.choose(
            f"the median history length is {profile.median_length}: the order of events says "
            "little, so their mean is enough",
            train__model__encoder="mean",
            train__model__history_length=length,
        )
        return
    if length <= _RECURRENT:
        advice.choose(
            f"90% of the histories have at most {profile.long_length} events, and the newest "
            f"{length} are used: at this length a recurrent network learns better and faster than "
            "attention",
            train__model__encoder="gru",
            train__model__history_length=length,
        )
        return
    advice.choose(
        f"90% of the histories have at most {profile.long_length} events: use causal attention "
        f"over the newest {length}",
        train__model__encoder="attention",
        train__model__history_length=length,
    )


def _size(profile: Profile, machine: Machine, advice: Advice) -> None:
    is_wide = profile.events >= _WIDE
    width = (256 if is_wide else 128) * (2 if machine.gpus else 1)
    sparse = profile.events_per_item < 30
    dropout = (0.6 if is_wide else 0.5) if sparse else 0.3
    blocks = 2 if advice.settings["train.model.encoder"] == "attention" and not sparse else 1
    advice.choose(
        f"{profile.events:,} events, {profile.events_per_item:.0f} per item: width {width}, "
        f"{'one block' if blocks == 1 else 'two blocks'}"
        + (" and high dropout, because most items are rare" if sparse else ""),
        train__model__width=width,
        train__model__blocks=blocks,
        train__model__heads=1 if sparse else 2,
        train__model__dropout=dropout,
    )


def _similarity(advice: Advice) -> None:
    advice.choose(
        "cosine similarity separates rare from frequent items better than plain dot products, and "
        "allows a high learning rate with decay",
        train__model__similarity="cosine",
        train__model__temperature=0.06,
        train__optimizer__learning_rate=0.003,
        train__optimizer__decay="cosine",
    )
    advice.choose(
        f"the rate falls to 0 over all epochs, so their number matters: {EPOCHS} were enough on "
        "the data that these rules come from; validation may end the training earlier",
        train__epochs=EPOCHS,
    )


def _loss(profile: Profile, machine: Machine, advice: Advice) -> None:
    width = advice.settings["train.model.width"]
    table_gib = profile.items * width * BYTES_PER_WEIGHT / 2**30
    memory = machine.gpu_memory_gib or machine.memory_gib
    if table_gib > memory / 4:
        advice.choose(
            f"the item table with Adam's moments needs {table_gib:.1f} of {memory:.0f} GiB memory: "
            "store one number per row instead, and update only the rows used in a step",
            train__optimizer__embeddings="rowwise_adagrad",
        )
    most = 1_000_000 if machine.gpus else 20_000 if machine.has_bf16 else 8_000
    if profile.items <= most:
        advice.choose(
            f"{profile.items:,} items are few enough to score all of them at every position",
            train__loss__kind="cross_entropy",
        )
        return
    advice.choose(
        f"{profile.items:,} items are too many to score all of them at every position on this "
        "machine: draw one set of negatives per batch, and correct for the sampling",
        train__loss__kind="sampled_softmax",
        train__loss__num_negatives=2048,
        train__loss__negatives_for="batch",
    )


def _for_machine(machine: Machine, advice: Advice) -> None:
    if advice.settings["train.algorithm"] not in ("neural", "ranking"):
        advice.choose(
            f"counting models use the {machine.cores} core(s) of one worker",
            train__workers=1,
            train__gpus_per_worker=0,
            train__cpus_per_worker="auto",
        )
        return
    if machine.gpus:
        advice.choose(
            f"{machine.gpus} GPU(s)" + (" with bfloat16" * machine.has_bf16) + ": one worker each",
            train__workers=machine.gpus,
            train__gpus_per_worker=1,
            train__precision="auto",
        )
        return
    advice.choose(
        f"no GPU: one worker on {machine.cores} core(s), because several would only share them"
        + ("; the cores have instructions for bfloat16" * machine.has_bf16),
        train__workers=1,
        train__gpus_per_worker=0,
        train__cpus_per_worker="auto",
        train__precision="auto",
    )


def _rounded(length: int) -> int:
    """Round up to a multiple of 10."""
    return -(-length // 10) * 10


def what_does_not_fit(train: Train, settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings that must change with the advised ones, or the configuration is refused.

    Args:
        train: The section `train` of the configuration.
        settings: The advised settings, by dotted key.
    """
    algorithm = settings["train.algorithm"]
    others: dict[str, Any] = {}
    if algorithm == "ranking" and train.ranking.loss == "mse":
        others["train.metric"] = "rmse"
    if algorithm != "ranking" and train.metric in RANKING_METRICS:
        others["train.metric"] = _METRIC
    if algorithm == "ranking" and train.refit != "none":
        others["train.refit"] = "none"
    if algorithm != "neural":
        for key, nothing in _OF_NETWORKS.items():
            section, _, name = key.rpartition(".")
            value = getattr(getattr(train, section) if section else train, name)
            if value != nothing:
                others[f"train.{key}"] = nothing
    if settings.get("train.workers", 1) > train.max_workers:
        others["train.workers"] = train.max_workers
    return others
