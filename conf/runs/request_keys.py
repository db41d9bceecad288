"""Hashes of what a version is made from: if the key exists, the stage has nothing to do."""

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from conf.contract import CONTRACT_VERSION
from conf.privacy.protection import request_part
from conf.runs.input_files import InputFile
from conf.settings.config import Config
from conf.settings.etl import acts_differ
from conf.workspace.hashes import canonical_hash

_ROWS = 2
"""Raise it when the ETL makes other rows of the same input: all datasets are then made again."""
_LISTS = 3
"""Raise it when lists, or the figures in their manifest, change: all are then made again."""
_MODELS = 2
"""Raise it when a training writes other figures: all models are then made again."""
_COUNTING = 2
"""Raise it when the fit of counting models to confidences changes: those models are made again."""


def dataset_request(
    config: Config,
    inputs: Mapping[str, Sequence[InputFile]],
    logical_date: str | None,
    base: str | None = None,
) -> str:
    """Return the key of a dataset: its input, its settings and the dataset that it extends."""
    section = config.model_dump(mode="json", include={"input", "etl"})
    section["input"].pop("root")
    if not section["etl"]["history_features"]:
        del section["etl"]["history_features"]  # then the key is as before this setting existed
    for kind in section["etl"]["event_types"].values():
        if kind["confidence"] is None:
            del kind["confidence"]  # the same
    logs, tables = section["input"]["events"], (section["input"][n] for n in ("items", "users"))
    for source in filter(None, (*logs.values(), *tables)):
        source["paths"] = sorted(set(source["paths"]))  # files are read in the order of their names
    is_strung = config.input.is_ordered_by_lines and len(logs) > 1
    files = {name: sorted((f.name, f.sha256) for f in found) for name, found in inputs.items()}
    return canonical_hash(
        [
            CONTRACT_VERSION,
            _ROWS,
            "dataset",
            config.run.name,
            config.run.seed,
            section["input"],
            json.dumps(section["etl"]),  # unsorted: event types are numbered in their order
            files,
            config.train.max_workers,
            logical_date,
            *request_part(config),
            *(["confidences"] if acts_differ(config.etl.event_types.values()) else []),
            *([] if base is None else [base]),
            *([list(logs)] if is_strung else []),  # the hash itself sorts the logs by name
        ]
    )


def model_request(config: Config, dataset_id: str) -> str:
    """Return the key of a model; it includes whether seen items are ranked."""
    is_auto = config.train.algorithm == "auto"
    section = config.train.model_dump(
        mode="json", exclude={"gate"} if is_auto else {"gate", "auto"}
    )
    if is_auto:
        section["written"] = sorted(config.train.written - {"gate"})  # the others are chosen
    ranked = [] if config.score.drop_seen else ["seen items kept"]
    if acts_differ(config.etl.event_types.values()):
        ranked.append(f"counting {_COUNTING}")
    parts = [CONTRACT_VERSION, _MODELS, "model", config.run.seed, section, dataset_id, *ranked]
    return canonical_hash(parts)


def search_request(config: Config, dataset_id: str) -> str:
    """Return the key of a search for settings; more trials or time continue the same search."""
    tune = config.tune.model_dump(mode="json", exclude={"trials", "budget_seconds"})
    return canonical_hash([model_request(config, dataset_id), "search", tune])


def lists_request(
    config: Config,
    dataset_id: str,
    model_id: str,
    files: Mapping[str, Sequence[InputFile]] = MappingProxyType({}),
    shown: Sequence[str] = (),
) -> str:
    """Return the key of lists; limits of gates are not in it, as they change no list.

    Args:
        config: The configuration.
        dataset_id: The dataset.
        model_id: The model.
        files: Of `conf.runs.list_files.list_files`.
        shown: Of `conf.runs.shown_lists.shown_lists`.
    """
    other = {"workers", "cpus_per_worker", "gpus_per_worker", "gates", "min_full_share"}
    section = config.score.model_dump(mode="json", exclude=other)
    for name in ("rules", "items_now"):
        if section[name] is None:
            del section[name]  # then the key is as before this setting existed
    hashes = {name: [file.sha256 for file in found] for name, found in files.items()}
    return canonical_hash(
        [
            CONTRACT_VERSION,
            _LISTS,
            "lists",
            section,
            dataset_id,
            model_id,
            *([hashes] if hashes else []),
            *([["shown", *shown]] if shown else []),
        ]
    )
