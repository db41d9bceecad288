"""Run one stage, or all of them, on a workspace: find what is done, do the rest, publish.

The modules of a stage are imported by name, and only if there is work for it. So a run that finds
everything done starts neither Spark nor Ray, and `conf` does not depend on the stages.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from conf.contract import MAIN
from conf.errors import ConfigError, GateError, HeadraceError
from conf.privacy.erased import erasure_is_open
from conf.privacy.fitting import require_protected
from conf.privacy.learned import warn_of_erased
from conf.privacy.protection import protection_of, require_own_key_id
from conf.runs.by_name import call_stage
from conf.runs.candidates import chosen_models, stages_of, warn_of_erased_in
from conf.runs.chosen import MAKE_AGAIN, chosen_version, require_publishable, require_sound
from conf.runs.delivering import with_delivery
from conf.runs.inputs.input_files import fingerprint_inputs
from conf.runs.inputs.list_files import list_files
from conf.runs.inputs.request_keys import dataset_request, lists_request, model_request
from conf.runs.lineage import base_dataset, shown_in_scenarios, shown_lists, with_start
from conf.runs.results import (
    FAILED,
    Result,
    cost_of_lists,
    figures_of,
    manifest_of,
    with_verdicts,
)
from conf.runs.roles import ALREADY_DONE, config_of, role_configs, with_roles
from conf.settings.config import Config
from conf.settings.rules.uses import warn_of_settings
from conf.workspace.lock import Lease, workspace_lock
from conf.workspace.pointers import CURRENT, publish, read_pointer
from conf.workspace.publications import CANARY, canary_of
from conf.workspace.swap import finish_swaps
from conf.workspace.versions import find_version

log = logging.getLogger(__name__)

DONE = "done"
REFUSED, NOT_PUBLISHED = "refused", "not published"
KINDS = ("datasets", "models", "lists")


def run_etl(config: Config, logical_date: str | None = None) -> Result:
    """Make the dataset of the configured input, unless it exists."""
    with locked(config) as lease:
        return _etl(config, logical_date, lease)


def run_train(config: Config, logical_date: str | None = None) -> Result:
    """Train on the current dataset, or on that of `logical_date`, unless the model exists."""
    warn_of_settings(config)
    with locked(config) as lease, _one_ray():
        return _train_all(config, chosen_version(config, "datasets", logical_date), lease)


def run_score(config: Config, logical_date: str | None = None) -> Result:
    """Score the users of the current dataset with the current model, or take both by date."""
    with locked(config) as lease:
        dataset = chosen_version(config, "datasets", logical_date)
        model = chosen_version(config, "models", logical_date)
        require_publishable(config, model)
        models = chosen_models(config, model, logical_date)
        return _score(config, dataset, model, models, lease)


def run_all(config: Config, logical_date: str | None = None) -> Result:
    """Go from the raw log to published lists; each stage uses the result of the one before.

    Raises:
        HeadraceError: From a stage; its `made` has the results of the stages so far.
    """
    warn_of_settings(config)
    parts: Result = {}
    with locked(config) as lease, _one_ray():
        try:
            parts["etl"] = _etl(config, logical_date, lease)
            parts["train"] = _train_all(config, parts["etl"]["id"], lease)
            trained = parts["train"]
            models = {role: part["id"] for role, part in trained.get("roles", {}).items()}
            parts["score"] = _score(config, parts["etl"]["id"], trained["id"], models, lease)
        except HeadraceError as error:
            parts |= {} if error.made is None else {error.made["stage"]: error.made}
            status = REFUSED if isinstance(error, GateError) else FAILED
            error.made = {"stage": "run", "status": status, **parts} if parts else None
            raise
    done = all(part["status"] == ALREADY_DONE for part in parts.values())
    return {"stage": "run", "status": ALREADY_DONE if done else DONE, **parts}


def run_evaluate(config: Config, logical_date: str | None = None, role: str = MAIN) -> Result:
    """Measure a role's current model, or that of `logical_date`, on its dataset's test part."""
    config = config_of(config, role)
    model = chosen_version(config, "models", logical_date, role)
    metrics = call_stage("trainer.algorithms.measure", "run", config, model_id=model)
    told = {} if role == MAIN else {"role": role}
    return {"stage": "evaluate", **told, "status": DONE, "id": model, "metrics": metrics}


def run_generate(config: Config) -> Result:
    """Write the made-up shop's log of the section `generate` to `input.root`."""
    if config.generate is None:
        raise ConfigError("generate: the section is missing; copy the one of conf/demo.yaml")
    planted = call_stage("etl.made_up.generate", "run", config)
    return {
        "stage": "generate",
        "status": DONE,
        "folder": config.input.root,
        "rows": planted["rows_written"],
        "planted": planted["planted"],
    }


def _etl(config: Config, logical_date: str | None, lease: Lease) -> Result:
    protection = protection_of(config)  # fails early if a key is needed and missing
    require_own_key_id(Path(config.run.output), protection.keys)
    log.info("etl: listing and hashing the input files")
    inputs = fingerprint_inputs(config)
    base = None
    if config.etl.vocabulary == "extend":
        base = base_dataset(config, inputs, logical_date)
    request = dataset_request(config, inputs, logical_date, base)
    return _make(
        config,
        lease,
        "etl",
        "datasets",
        request,
        lambda: call_stage(
            "etl.pipeline",
            "run",
            config,
            logical_date=logical_date,
            inputs=inputs,
            request=request,
            base=base,
        ),
    )


def _train_all(config: Config, dataset_id: str, lease: Lease) -> Result:
    """Train the main model, then those of the other roles.

    Raises:
        HeadraceError: From a training; its `made` has the results of the ones before.
    """
    main, roles = _train(config, dataset_id, lease), Result()
    algorithm = manifest_of(Path(config.run.output), "models", main["id"])["algorithm"]
    for role, own in role_configs(config, algorithm):
        try:
            roles[role] = {"role": role, **_train(own, dataset_id, lease, role)}
        except HeadraceError as error:
            status = REFUSED if isinstance(error, GateError) else FAILED
            roles |= {} if error.made is None else {role: {"role": role, **error.made}}
            error.made = {**with_roles(main, roles), "status": status}
            raise
    return with_roles(main, roles)


def _train(config: Config, dataset_id: str, lease: Lease, role: str = MAIN) -> Result:
    require_protected(config, "datasets", dataset_id, MAKE_AGAIN)
    config = with_start(config, dataset_id)
    request = model_request(config, dataset_id, role)
    return _make(
        config,
        lease,
        "train",
        "models",
        request,
        lambda: make_model(config, dataset_id, request, role),
        role=role,
    )


def make_model(config: Config, dataset_id: str, request: str, role: str = MAIN) -> str:
    """Train and commit the model that the configuration asks for; return its id."""
    given: Result = {"dataset_id": dataset_id, "request": request}
    if config.train.algorithm == "auto":
        chosen: str = call_stage("trainer.choosing.auto", "run", config, **given)
        return chosen
    made: str = call_stage("trainer.algorithms.launch", "run", config, **given, role=role)
    return made


def _score(
    config: Config, dataset_id: str, model_id: str, models: dict[str, str], lease: Lease
) -> Result:
    algorithm = manifest_of(Path(config.run.output), "models", model_id).get("algorithm", "")
    require_protected(config, "datasets", dataset_id, MAKE_AGAIN)
    warn_of_erased(Path(config.run.output), model_id, "score")
    models = models if config.score.has_candidates else {}
    warn_of_erased_in(config, models)
    stages = stages_of(config, models, algorithm)
    given: Result = {
        "files": list_files(config),
        "shown": shown_lists(config, dataset_id),
        "shown_in": shown_in_scenarios(config, dataset_id),
    }
    request = lists_request(config, dataset_id, model_id, stages, **given)
    result = _make(
        config,
        lease,
        "score",
        "lists",
        request,
        lambda: call_stage(
            "serving.score",
            "run",
            config,
            dataset_id=dataset_id,
            model_id=model_id,
            request=request,
            models=models,
            **given,
        ),
    )
    if result["status"] == DONE:
        cost = cost_of_lists(config.score, result["counts"]["users"], result["seconds"])
        result |= {"cost": cost} if cost else {}
    return with_delivery(config, result)


def _make(
    config: Config,
    lease: Lease,
    stage: str,
    kind: str,
    request: str,
    work: Callable[[], str],
    *,
    role: str = MAIN,
) -> Result:
    """Do the work unless its version exists, and publish the version.

    Raises:
        GateError: When a gate refuses to publish it; its `made` has the figures of the version.
    """
    workspace, started = Path(config.run.output), time.monotonic()
    version = find_version(workspace, kind, request)
    status = DONE if version is None else ALREADY_DONE
    if version is None:
        version = work()
    else:
        require_sound(config, kind, version)
        require_protected(config, kind, version, MAKE_AGAIN)
        if kind == "models":
            warn_of_erased(workspace, version, stage)
    folder, manifest = workspace / kind / version, manifest_of(workspace, kind, version)

    def told(status: str, published: str, verdicts: Result) -> Result:
        seconds = round(time.monotonic() - started, 1)
        log.info("%s: %s is %s, %s (%.1f s)", stage, version, status, published, seconds)
        return {
            "stage": stage,
            "status": status,
            "published": published,
            "id": version,
            "folder": str(folder),
            "seconds": seconds,
            **({"share": share} if published == CANARY else {}),
            **with_verdicts(figures_of(folder, manifest), verdicts),
        }

    seen_as, share = _seen_as(workspace, kind, version, role)
    try:
        verdicts = _require_passed(config, kind, version, manifest, role, seen_as is not None)
    except GateError as error:
        error.made = told(REFUSED, seen_as or NOT_PUBLISHED, error.made or {})
        raise
    if kind == "lists":
        share = _share(config)
    with lease.kept() as number:
        day = manifest["logical_date"]
        published = publish(workspace, kind, version, day, number, role=role, share=share)
    return told(status, published, verdicts)


def _one_ray() -> AbstractContextManager[None]:
    """Let all that is trained and scored in the block share one Ray."""
    session: AbstractContextManager[None] = call_stage("trainer.cluster.lasting", "one_ray")
    return session


def _seen_as(workspace: Path, kind: str, version: str, role: str) -> tuple[str | None, float]:
    """Return as what readers see a version, current or canary, and which share of the users does.

    None: they do not see it.
    """
    pointer = read_pointer(workspace, kind, role) or {}
    canary = canary_of(pointer)
    if pointer.get("id") == version:
        return CURRENT, 1.0
    if canary is not None and canary.id == version:
        return CANARY, canary.share
    return None, 1.0


def _share(config: Config) -> float:
    """Return the share of the users that see new lists; all do if there are no lists yet."""
    share = config.publish.share
    if share < 1 and read_pointer(Path(config.run.output), "lists") is None:
        log.info("score: no lists are published yet, so publish.share=%g has no effect", share)
        return 1.0
    return share


def _require_passed(
    config: Config, kind: str, version: str, manifest: Result, role: str, is_current: bool
) -> Result:
    """Refuse a version that fails its gate; return the verdicts as entries of the result."""
    if kind == "models":
        require_publishable(config, version, role)
    if kind != "lists":
        return {}
    verdicts: Result = call_stage(
        "serving.gates.verdicts", "require_passed", manifest, config.score, is_current=is_current
    )
    return verdicts


@contextmanager
def locked(config: Config, *, is_erasure: bool = False) -> Iterator[Lease]:
    """Lock the workspace during the block, so no other run writes to it."""
    workspace = Path(config.run.output)
    with workspace_lock(workspace, config.run.lock_lease_seconds) as lease:
        finish_swaps(workspace)
        if erasure_is_open(workspace) and not is_erasure:
            log.warning(
                "an erasure was interrupted: its users are still in what this run makes; run "
                "headrace erase again with the same users"
            )
        yield lease
