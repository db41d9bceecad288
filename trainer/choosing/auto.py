"""`train.algorithm: auto`: try several models, publish the one that validation chooses.

Models are fitted one after the other. What is committed is a normal bundle of the chosen model,
whose configuration names its algorithm; `auto` in its `metrics.json` says what was tried and why.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ray.train import TrainingFailedError

from conf.contract import Manifest
from conf.errors import ConfigError, HeadraceError
from conf.runs.scratch import stop_if_storage_failed
from conf.settings.choosing import nested
from conf.settings.config import Config
from conf.settings.variants import with_changes
from conf.workspace.versions import read_manifest
from trainer.algorithms import blended, counted
from trainer.algorithms.blended import ChosenBlend, chosen_blend
from trainer.algorithms.launch import committed, work_folder
from trainer.algorithms.members import Member, counted_member, trained_member
from trainer.choosing.candidates import Plan, kept_plan
from trainer.choosing.choice import Choice, choose
from trainer.cluster.ray_session import ray_session, require_room
from trainer.data.trained_on import require_confidence, require_refit, why_nothing_is_held_out
from trainer.evaluation.against_baselines import ranked_part
from trainer.evaluation.figures import source_of
from trainer.evaluation.metrics import gains
from trainer.models.bundle import Trained
from trainer.models.counting import COUNTING
from trainer.models.hybrid import NEURAL, Hybrid
from trainer.models.scorer import Scorer
from trainer.retrieval import train as retrieval_train
from trainer.retrieval.train import Best
from trainer.training.progress import signs_of_life

log = logging.getLogger(__name__)
BLEND, UNMEASURED = "hybrid", "popularity"
_MOST_MEMBERS = 3
_FROM_SIMPLEST = (
    "popularity", "recent_popularity", "markov", "item_knn", "ease", "als", BLEND, NEURAL,
)  # fmt: skip
"""A blend of counting models is simpler than a network; with a network in it, it is not."""


class Fitted(NamedTuple):
    """A fitted model."""

    config: Config
    """The configuration that trains it alone."""
    members: dict[str, Member]
    """The model by its name; the members of a blend."""
    best: Best | None = None
    """The training of a network."""
    blend: ChosenBlend | None = None
    """The weights of a blend."""


class Tried(NamedTuple):
    """A fitted model, measured on validation."""

    model: Fitted
    gained: np.ndarray
    """[N] gain of each target."""
    users: np.ndarray
    """[N] user of each target."""
    seconds: float


def run(config: Config, *, dataset_id: str, request: str) -> str:
    """Try models, commit the best one for the given dataset, and return its id.

    A run that was killed tries the same models again; a network continues from its checkpoint.
    Without a validation part nothing can be compared, and the model is `popularity`.
    """
    started = time.monotonic()
    manifest = read_manifest(Path(config.run.output), "datasets", dataset_id, Manifest)
    require_confidence(Path(config.run.output) / "datasets" / dataset_id, manifest)
    require_refit(config.train.refit, manifest)
    work = work_folder(config, request)
    if not manifest.row_groups("valid"):
        return _unmeasured(config, manifest, request, work)
    with signs_of_life("train"):
        plan = kept_plan(config, manifest, work)
        with ray_session(config):
            tried = _tried(config, manifest, work, plan)
            choice = _chosen(config, tried)
            log.info("train: auto chooses %s: %s", choice.name, choice.reason)
            chosen, trained = _trained(manifest, work, tried, choice.name)
        trained.metrics["auto"] = _told(config, plan, tried, choice, time.monotonic() - started)
        return committed(chosen, manifest, request, trained, work)


def _unmeasured(config: Config, manifest: Manifest, request: str, work: Path) -> str:
    """Commit the model that needs no choice, because there is no validation part."""
    own = _variant(config, Plan(), UNMEASURED)
    with signs_of_life("train"), ray_session(own):
        trained = counted.train(own, manifest, work)
    reason = (
        f"there is no validation part to compare models on ({why_nothing_is_held_out(manifest)}), "
        f"so the model is {UNMEASURED}"
    )
    log.warning("train: %s", reason)
    trained.metrics["auto"] = {
        "chosen": UNMEASURED,
        "reason": reason,
        "metric": own.train.metric,
        "users": 0,
        "tried": {},
        "blend": None,
        "skipped": {},
        "network": {},
        "because": [],
        "seconds": trained.metrics["training"]["seconds"],
    }
    return committed(own, manifest, request, trained, work)


def _tried(config: Config, manifest: Manifest, work: Path, plan: Plan) -> dict[str, Tried]:
    """Fit and measure the models of the plan, and a blend of the best ones.

    A model that cannot be trained is moved to those that were skipped.
    """
    found: dict[str, Tried] = {}
    for name in [*plan.counting, *([NEURAL] if plan.network else []), BLEND]:
        try:
            one = _try(name, config, manifest, work, plan, found)
        except (HeadraceError, TrainingFailedError) as error:
            stop_if_storage_failed(error, config)  # the disk is no fault of the model
            log.warning("train: auto leaves %s out: %s", name, error)
            plan.skipped[name] = str(error).strip().splitlines()[-1]
            continue
        if one is None:
            continue
        found[name] = one
        log.info(
            "train: auto tried %s: %s %.4f in validation (%.1f s)",
            name, config.train.metric, one.gained.mean(), one.seconds,
        )  # fmt: skip
    return found


def _try(
    name: str,
    config: Config,
    manifest: Manifest,
    work: Path,
    plan: Plan,
    before: Mapping[str, Tried],
) -> Tried | None:
    """Return a model, fitted and measured; None if there is nothing to blend."""
    started = time.monotonic()
    if name == BLEND:
        fitted = _blend(config, manifest, plan, before)
    else:
        fitted = _alone(name, config, manifest, work, plan)
    if fitted is None:
        return None
    scorers = {one: member.scorer for one, member in fitted.members.items()}
    scorer: Scorer = (
        scorers[name] if fitted.blend is None else Hybrid(scorers, fitted.blend.weights)
    )
    ranked = ranked_part(fitted.config, manifest, {name: scorer})
    gained = gains(ranked.ranks[name], config.train.metric)
    return Tried(fitted, gained, ranked.users, time.monotonic() - started)


def _alone(name: str, config: Config, manifest: Manifest, work: Path, plan: Plan) -> Fitted:
    """Fit a counting model, or train the network."""
    own = _variant(config, plan, name)
    require_room(own)
    if name != NEURAL:
        return Fitted(own, {name: counted_member(name, own, source_of(own, manifest))})
    member, best = trained_member(own, manifest, work / "network")
    return Fitted(own, {NEURAL: member}, best=best)


def _blend(
    config: Config, manifest: Manifest, plan: Plan, before: Mapping[str, Tried]
) -> Fitted | None:
    """Blend the best models; None, with the reason in the plan, if that gives no other model."""
    members = _best_members(before, plan)
    if not members:
        return None
    blend = chosen_blend(_variant(config, plan, BLEND, list(members)), manifest, members)
    weights = {name: weight for name, weight in blend.weights.items() if weight > 0}
    if len(weights) < 2:
        plan.skipped[BLEND] = f"in the best blend {next(iter(weights))} has all the weight"
        return None
    own = _variant(config, plan, BLEND, list(weights))
    kept = {name: members[name] for name in weights}
    return Fitted(own, kept, blend=blend._replace(weights=weights))


def _best_members(before: Mapping[str, Tried], plan: Plan) -> dict[str, Member]:
    """Return the models to blend, the best ones that are right at least once."""
    good = [name for name, one in before.items() if one.gained.mean() > 0]
    good.sort(key=lambda name: -float(before[name].gained.mean()))  # equal ones: simpler first
    if len(good) < 2:
        plan.skipped[BLEND] = "fewer than two models are ever right in validation"
        return {}
    return {name: before[name].model.members[name] for name in good[:_MOST_MEMBERS]}


def _variant(config: Config, plan: Plan, name: str, members: Sequence[str] = ()) -> Config:
    """Return the configuration that trains one of the models; it names its algorithm."""
    has_network = NEURAL in (name, *members)
    changes = {**plan.machine, **(plan.settings if has_network else {}), "algorithm": name}
    if name == BLEND:
        changes["hybrid.members"] = tuple(members)
    own = with_changes(config, f"train.algorithm=auto, {name}", nested(changes))
    return own.model_copy(update={"compare": config.compare, "tune": config.tune})


def _chosen(config: Config, tried: Mapping[str, Tried]) -> Choice:
    if not tried:
        raise ConfigError(
            "train.algorithm=auto: none of the models could be trained; the warnings above have "
            "the reasons; name one in train.algorithm"
        )
    order = list(_FROM_SIMPLEST)
    if BLEND in tried and NEURAL in tried[BLEND].model.members:
        order.remove(BLEND)
        order.append(BLEND)
    return choose(
        config.train.metric,
        {name: one.gained for name, one in tried.items()},
        next(iter(tried.values())).users,
        from_simplest=order,
        seed=config.run.seed,
    )


def _trained(
    manifest: Manifest, work: Path, tried: Mapping[str, Tried], name: str
) -> tuple[Config, Trained]:
    """Return the chosen model's configuration, and the model with its figures; refit it if asked.

    No model that was tried is fitted again to measure it.
    """
    config, members, best, blend = tried[name].model
    fitted = {one: tried[one].model.members[one].scorer for one in tried if one in COUNTING}
    own = work / "network"
    if blend is not None:
        return config, blended.trained_from(config, manifest, own, members, blend, fitted)
    if best is not None:
        return config, retrieval_train.trained_from(config, manifest, own, best, fitted)
    member = members[name]
    cost = member.figures["training"]
    return config, counted.trained_from(
        config, manifest, member.scorer, member.weights, cost, fitted
    )


def _told(
    config: Config, plan: Plan, tried: Mapping[str, Tried], choice: Choice, seconds: float
) -> dict[str, Any]:
    """Return what `metrics.json` says about the choice."""
    blend = tried[BLEND].model.blend if BLEND in tried else None
    return {
        "chosen": choice.name,
        "reason": choice.reason,
        "metric": config.train.metric,
        "users": len(np.unique(next(iter(tried.values())).users)),
        "tried": {
            name: {
                **figures,
                "seconds": round(tried[name].seconds, 1),
                "expected_minutes": plan.minutes.get(name),
            }
            for name, figures in choice.figures.items()
        },
        "blend": None if blend is None else blend.weights,
        "skipped": plan.skipped,
        "network": {f"train.{key}": value for key, value in plan.settings.items()},
        "because": plan.reasons,
        "seconds": round(seconds, 1),
    }
