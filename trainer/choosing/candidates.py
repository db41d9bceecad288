"""Which models `train.algorithm: auto` tries on a dataset, and why it leaves the others out."""

import logging
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from conf.contract import Manifest
from conf.errors import ConfigError, VersionError
from conf.settings.choosing import nested
from conf.settings.config import Config
from conf.settings.train import Train
from conf.settings.variants import with_changes
from conf.workspace.folders import remove
from conf.workspace.json_files import is_there, read_record, write_json
from trainer.choosing.advise import Advice, advise_network, is_small
from trainer.choosing.dataset_profile import Profile, profile_of
from trainer.choosing.expected import counting_minutes, ease_memory_gib, expected_cost
from trainer.cluster.machine import Machine, this_machine
from trainer.models.counting import require_times
from trainer.models.hybrid import NEURAL
from trainer.training.job import gains_on_cpu

log = logging.getLogger(__name__)
PLAN_NAME = "plan.json"
_ALWAYS = ("popularity", "markov")
_COUNTING = ("popularity", "recent_popularity", "markov", "item_knn", "ease", "als")
"""From the simplest on."""
_MACHINE = ("workers", "cpus_per_worker", "gpus_per_worker", "precision")
_EASE_SHARE = 0.5
"""Share of the available memory that EASE may take."""


@dataclass
class Plan:
    """The models to try. It is kept on disk: a run that was killed tries the same ones."""

    counting: list[str] = field(default_factory=list)
    """Counting models, from the simplest on."""
    network: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    """Settings of the network by key below `train`; those that were written are not among them."""
    machine: dict[str, Any] = field(default_factory=dict)
    """Settings of all other models, by key below `train`."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Reason by model that is not tried."""
    reasons: list[str] = field(default_factory=list)
    """Why the network is as it is."""
    minutes: dict[str, float] = field(default_factory=dict)
    """Expected minutes by model."""


class _Kept(BaseModel):
    """Contents of the file with the plan."""

    model_config = ConfigDict(extra="forbid")

    counting: list[str]
    network: bool
    settings: dict[str, Any]
    machine: dict[str, Any]
    skipped: dict[str, str]
    reasons: list[str]
    minutes: dict[str, float]


def kept_plan(config: Config, manifest: Manifest, work: Path) -> Plan:
    """Return the plan in a work folder; make it if there is none."""
    path = work / PLAN_NAME
    if is_there(path):
        try:
            return Plan(**read_record(path, _Kept).model_dump())
        except VersionError as error:
            log.warning("train: auto makes its plan again: %s", error)
            remove(path)
    folder = Path(config.run.output) / "datasets" / manifest.id
    plan = make_plan(config, manifest, profile_of(folder, manifest), this_machine())
    write_json(path, asdict(plan))
    return plan


def make_plan(config: Config, manifest: Manifest, profile: Profile, machine: Machine) -> Plan:
    """Return the models to try on a dataset with this profile, on this machine."""
    plan = Plan()
    if not _is_elsewhere(config):
        plan.machine = _unwritten(config, {"workers": 1, "gpus_per_worker": 0})
    left = config.train.auto.max_minutes
    for name in _COUNTING:
        minutes = counting_minutes(name, profile, machine, config.train)
        is_fixed = name in _ALWAYS or name in config.train.baselines
        reason = _against(name, config, manifest, profile, machine)
        if reason is None and not is_fixed and minutes > left:
            reason = _too_slow(minutes, left)
        if reason is not None:
            plan.skipped[name] = reason
            continue
        plan.counting.append(name)
        plan.minutes[name] = round(minutes, 2)
        left = max(left - minutes, 0.0)
    _plan_network(plan, config, manifest, profile, machine, left)
    if profile.labels and profile.logged_negatives:
        plan.skipped["ranking"] = (
            "the log has impressions that users passed over, from which only a ranking model "
            "learns; set the section ranker, or train.algorithm=ranking, to train one"
        )
    return plan


def _against(
    name: str, config: Config, manifest: Manifest, profile: Profile, machine: Machine
) -> str | None:
    """Return why a counting model cannot be fitted to the dataset here; None: it can."""
    if name == "recent_popularity":
        try:
            require_times(manifest)
        except ConfigError as error:
            return str(error)
    if name == "ease":
        most, needed = config.train.counting.ease.max_items, ease_memory_gib(profile.items)
        if profile.items > most:
            return f"{profile.items:,} items are more than train.counting.ease.max_items={most:,}"
        if needed > _EASE_SHARE * machine.memory_gib:
            return (
                f"it needs {needed:.1f} GiB for {profile.items:,} items, more than half of the "
                f"{machine.memory_gib:.1f} GiB that are free"
            )
    return None


def _plan_network(
    plan: Plan,
    config: Config,
    manifest: Manifest,
    profile: Profile,
    machine: Machine,
    left: float,
) -> None:
    """Add the network to the plan, or the reason against it."""
    if is_small(profile):
        plan.skipped[NEURAL] = (
            f"{profile.events:,} events of {profile.users:,} users are few: a network would overfit"
        )
        return
    advice = advise_network(profile, machine)
    settings, reasons = _fitted_to(config, manifest, advice), advice.reasons
    try:
        network = _network(config, settings)
    except ConfigError as error:
        settings = {key: value for key, value in settings.items() if key in _MACHINE}
        reasons = [f"the network has your settings; the advised ones do not fit: {error}"]
        network = _network(config, settings)
    cost = expected_cost(profile, machine, _costed(network.train))
    minutes = 0.0 if cost is None else cost["minutes"]
    if minutes > left:
        plan.skipped[NEURAL] = (
            f"{_too_slow(minutes, left)}; that is for all of train.epochs={network.train.epochs}, "
            f"though train.patience_epochs={network.train.patience_epochs} may end it earlier"
        )
        return
    plan.network, plan.settings, plan.reasons = True, settings, reasons
    plan.minutes[NEURAL] = round(minutes, 2)


def _network(config: Config, settings: dict[str, Any]) -> Config:
    return with_changes(config, "train.algorithm=auto", nested({**settings, "algorithm": NEURAL}))


def _costed(train: Train) -> dict[str, Any]:
    """Return the settings that `expected_cost` needs."""
    is_single = train.precision == "auto" and not gains_on_cpu(train)
    return {
        "train.algorithm": train.algorithm,
        "train.epochs": train.epochs,
        "train.patience_epochs": train.patience_epochs,
        "train.workers": train.workers,
        "train.precision": "fp32" if is_single else train.precision,
        "train.model.encoder": train.model.encoder,
        "train.model.width": train.model.width,
        "train.model.blocks": train.model.blocks,
        "train.loss.kind": train.loss.kind,
        "train.loss.num_negatives": train.loss.num_negatives,
    }


def _fitted_to(config: Config, manifest: Manifest, advice: Advice) -> dict[str, Any]:
    """Return the advised settings below `train` that were not written, as this run allows them."""
    settings = {key.removeprefix("train."): value for key, value in advice.settings.items()}
    del settings["algorithm"]
    if _is_elsewhere(config):
        settings = {key: value for key, value in settings.items() if key not in _MACHINE}
    if "workers" in settings:
        groups = max(len(manifest.row_groups("train")), 1)
        settings["workers"] = min(settings["workers"], config.train.max_workers, groups)
    return _unwritten(config, settings)


def _unwritten(config: Config, settings: dict[str, Any]) -> dict[str, Any]:
    written = config.train.written
    return {key: value for key, value in settings.items() if key not in written}


def _is_elsewhere(config: Config) -> bool:
    """Return whether the models are trained on a cluster, whose machines are not measured here."""
    return config.ray.address is not None or "RAY_ADDRESS" in os.environ


def _too_slow(minutes: float, left: float) -> str:
    return (
        f"it would take about {minutes:.1f} minutes, but {left:.1f} of train.auto.max_minutes are "
        "left"
    )
