"""Run one stage, or all of them, on a workspace: find what is done, do the rest, publish.

The modules of a stage are imported by name, and only if there is work for it. So a run that finds
everything done starts neither Spark nor Ray, and `conf` does not depend on the stages.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from conf.contract import MANIFEST_NAME, MANIFESTS
from conf.errors import ConfigError, GateError, HeadraceError, VersionError
from conf.privacy.fitting import require_protected
from conf.privacy.learned import warn_of_erased
from conf.privacy.protection import protection_of, require_own_key_id
from conf.runs.input_files import fingerprint_inputs
from conf.runs.lineage import base_dataset, with_start
from conf.runs.list_files import list_files
from conf.runs.request_keys import dataset_request, lists_request, model_request
from conf.runs.results import Result, figures_of, manifest_of, metrics_of, origin_of, refused_models
from conf.runs.shown_lists import shown_lists
from conf.settings.config import Config
from conf.settings.rules.uses import warn_of_settings
from conf.workspace.lock import Lease, workspace_lock
from conf.workspace.swap import finish_swaps
from conf.workspace.versions import (
    current_version,
    find_version,
    publish,
    read_manifest,
    read_pointer,
    require_files,
)

log = logging.getLogger(__name__)

DONE = "done"
ALREADY_DONE = "already done"
REFUSED, FAILED, NOT_PUBLISHED = "refused", "failed", "not published"
KINDS = ("datasets", "models", "lists")
_MAKE_AGAIN = "run headrace etl, and then the stages after it, to make it again"


def run_etl(config: Config, logical_date: str | None = None) -> Result:
    """Make the dataset of the configured input, unless it exists."""
    with locked(config) as lease:
        return _etl(config, logical_date, lease)


def run_train(config: Config, logical_date: str | None = None) -> Result:
    """Train on the current dataset, or on that of `logical_date`, unless the model exists."""
    warn_of_settings(config)
    with locked(config) as lease:
        return _train(config, chosen_version(config, "datasets", logical_date), lease)


def run_score(config: Config, logical_date: str | None = None) -> Result:
    """Score the users of the current dataset with the current model, or take both by date."""
    with locked(config) as lease:
        dataset = chosen_version(config, "datasets", logical_date)
        model = chosen_version(config, "models", logical_date)
        require_publishable(config, model)
        return _score(config, dataset, model, lease)


def run_all(config: Config, logical_date: str | None = None) -> Result:
    """Go from the raw log to published lists; each stage uses the result of the one before.

    Raises:
        HeadraceError: From a stage; its `made` has the results of the stages so far.
    """
    _require_list_model("train.algorithm", config.train.algorithm)
    warn_of_settings(config)
    parts: Result = {}
    with locked(config) as lease:
        try:
            parts["etl"] = _etl(config, logical_date, lease)
            parts["train"] = _train(config, parts["etl"]["id"], lease)
            parts["score"] = _score(config, parts["etl"]["id"], parts["train"]["id"], lease)
        except HeadraceError as error:
            parts |= {} if error.made is None else {error.made["stage"]: error.made}
            status = REFUSED if isinstance(error, GateError) else FAILED
            error.made = {"stage": "run", "status": status, **parts} if parts else None
            raise
    done = all(part["status"] == ALREADY_DONE for part in parts.values())
    return {"stage": "run", "status": ALREADY_DONE if done else DONE, **parts}


def run_evaluate(config: Config, logical_date: str | None = None) -> Result:
    """Measure the current model, or that of `logical_date`, on its dataset's test part."""
    model = chosen_version(config, "models", logical_date)
    metrics = call_stage("trainer.algorithms.measure", "run", config, model_id=model)
    return {"stage": "evaluate", "status": DONE, "id": model, "metrics": metrics}


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


def run_show(config: Config, user_id: str) -> Result:
    """Return a user's history and published list, with titles."""
    shown: Result = call_stage("serving.show", "run", config, user_id=user_id)
    return shown


def run_status(config: Config) -> Result:
    """Return the current versions and what they were made from."""
    workspace = Path(config.run.output)
    status: Result = {"stage": "status", "workspace": str(workspace)}
    for kind in KINDS:
        pointer = read_pointer(workspace, kind)
        status[kind] = None if pointer is None else origin_of(workspace, kind, pointer)
    published = read_pointer(workspace, "models") or {"id": None, "previous": []}
    status["refused_models"] = refused_models(workspace, [published["id"], *published["previous"]])
    return status


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


def _train(config: Config, dataset_id: str, lease: Lease) -> Result:
    require_protected(config, "datasets", dataset_id, _MAKE_AGAIN)
    config = with_start(config, dataset_id)
    request = model_request(config, dataset_id)
    return _make(
        config,
        lease,
        "train",
        "models",
        request,
        lambda: make_model(config, dataset_id, request),
    )


def make_model(config: Config, dataset_id: str, request: str) -> str:
    """Train and commit the model that the configuration asks for; return its id."""
    is_auto = config.train.algorithm == "auto"
    module = "trainer.choosing.auto" if is_auto else "trainer.algorithms.launch"
    made: str = call_stage(module, "run", config, dataset_id=dataset_id, request=request)
    return made


def _score(config: Config, dataset_id: str, model_id: str, lease: Lease) -> Result:
    algorithm = manifest_of(Path(config.run.output), "models", model_id).get("algorithm", "")
    _require_list_model(f"the algorithm of model {model_id}", algorithm)
    require_protected(config, "datasets", dataset_id, _MAKE_AGAIN)
    warn_of_erased(Path(config.run.output), model_id, "score")
    files = list_files(config)
    shown = shown_lists(config, dataset_id)
    request = lists_request(config, dataset_id, model_id, files, shown)
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
            files=files,
            shown=shown,
        ),
    )
    return result


def _require_list_model(where: str, algorithm: str) -> None:
    """Refuse to make lists with a model that does not score the whole catalogue."""
    if algorithm == "ranking":
        raise ConfigError(
            f"{where} is 'ranking': such a model scores single impressions, not the catalogue, so "
            "it has no lists; use headrace etl, train and evaluate to make and measure it; for "
            "lists set train.algorithm to another one, such as auto"
        )


def require_sound(config: Config, kind: str, version: str) -> None:
    """Check a version that is there already, before it is published or gone back to.

    Raises:
        VersionError: When a file of it is missing, has another size or, with
            `run.verify: checksums`, other content.
    """
    workspace = Path(config.run.output)
    manifest = read_manifest(workspace, kind, version, MANIFESTS[kind])
    if config.run.verify == "checksums":
        require_files(workspace / kind / version, manifest, by_content=True)


def _make(
    config: Config, lease: Lease, stage: str, kind: str, request: str, work: Callable[[], str]
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
        require_protected(config, kind, version, _MAKE_AGAIN)
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
            **figures_of(folder, manifest),
            **verdicts,
        }

    try:
        verdicts = _require_passed(config, kind, version, manifest)
    except GateError as error:
        error.made = told(REFUSED, NOT_PUBLISHED, error.made or {})
        raise
    with lease.kept() as number:
        published = publish(workspace, kind, version, manifest["logical_date"], number)
    return told(status, published, verdicts)


def _require_passed(config: Config, kind: str, version: str, manifest: Result) -> Result:
    """Refuse a version that fails its gate; return the verdicts as entries of the result."""
    if kind == "models":
        require_publishable(config, version)
    if kind != "lists":
        return {}
    verdicts: Result = call_stage(
        "serving.gates.verdicts", "require_passed", manifest, config.score
    )
    return verdicts


def require_publishable(config: Config, model_id: str) -> None:
    """Refuse a model that failed the gate on quality, unless it was published before.

    Raises:
        GateError: See `trainer.algorithms.quality_gate.require_passed`.
    """
    workspace = Path(config.run.output)
    pointer = read_pointer(workspace, "models") or {"id": None, "previous": []}
    was_published = model_id in (pointer["id"], *pointer["previous"])
    folder = workspace / "models" / model_id
    call_stage(
        "trainer.algorithms.quality_gate",
        "require_passed",
        metrics_of(folder),
        folder,
        "warn" if was_published and config.train.gate == "refuse" else config.train.gate,
    )


def chosen_version(config: Config, kind: str, logical_date: str | None) -> str:
    """Return the current version, or the newest one published for `logical_date`."""
    workspace = Path(config.run.output)
    current = current_version(workspace, kind)
    if logical_date is None:
        return current
    pointer = read_pointer(workspace, kind) or {}
    others = sorted(
        path.parent.name for path in (workspace / kind).glob(f"*/{MANIFEST_NAME[kind]}")
    )
    for version in dict.fromkeys([current, *pointer.get("previous", []), *others]):
        path = workspace / kind / version / MANIFEST_NAME[kind]
        if path.is_file() and manifest_of(workspace, kind, version)["logical_date"] == logical_date:
            return str(version)
    raise VersionError(
        f"{workspace / kind} has no version of {logical_date}; "
        "run the earlier stage with that --date first"
    )


def protected_dataset(config: Config) -> str:
    """Return the current dataset, unless it shows more of people than the configuration allows."""
    dataset = chosen_version(config, "datasets", None)
    require_protected(config, "datasets", dataset, _MAKE_AGAIN)
    return dataset


@contextmanager
def locked(config: Config) -> Iterator[Lease]:
    """Lock the workspace during the block, so no other run writes to it."""
    workspace = Path(config.run.output)
    with workspace_lock(workspace, config.run.lock_lease_seconds) as lease:
        finish_swaps(workspace)
        yield lease


def call_stage(module: str, function: str, *args: Any, **kwargs: Any) -> Any:
    """Import a stage's module and call a function of it."""
    return getattr(import_module(module), function)(*args, **kwargs)
