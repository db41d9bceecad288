"""Hashes of what a version is made from: equal keys mean that a stage has nothing to do."""

import json
from collections.abc import Mapping, Sequence

from conf.contract import CONTRACT_VERSION
from conf.privacy.protection import request_part
from conf.runs.input_files import InputFile
from conf.settings.config import Config
from conf.workspace.hashes import canonical_hash

_REASONS = 2
"""Raise it when the way reasons are computed changes: all lists are then made again."""


def dataset_request(
    config: Config,
    inputs: Mapping[str, Sequence[InputFile]],
    logical_date: str | None,
    base: str | None = None,
) -> str:
    """Return the key of a dataset: what it is made from and how, and what it goes on from."""
    section = config.model_dump(mode="json", include={"input", "etl"})
    section["input"].pop("root")
    if not section["etl"]["history_features"]:
        del section["etl"]["history_features"]  # without any, datasets are those of before the key
    logs, tables = section["input"]["events"], (section["input"][n] for n in ("items", "users"))
    for source in filter(None, (*logs.values(), *tables)):
        source["paths"] = sorted(set(source["paths"]))  # files are taken in their names' order
    files = {name: sorted((f.name, f.sha256) for f in found) for name, found in inputs.items()}
    return canonical_hash(
        [
            CONTRACT_VERSION,
            "dataset",
            config.run.name,
            config.run.seed,
            section["input"],
            json.dumps(section["etl"]),  # as it stands: types are numbered in their order
            files,
            config.train.max_workers,
            logical_date,
            *request_part(config),
            *([] if base is None else [base]),
        ]
    )


def model_request(config: Config, dataset_id: str) -> str:
    """Return the key of a model; whether seen items are ranked has a part in what it is."""
    section = config.train.model_dump(mode="json")
    ranked = [] if config.score.drop_seen else ["seen items kept"]
    parts = [CONTRACT_VERSION, "model", config.run.seed, section, dataset_id, *ranked]
    return canonical_hash(parts)


def search_request(config: Config, dataset_id: str) -> str:
    """Return the key of a search for settings; one may go on with more trials, or more time."""
    tune = config.tune.model_dump(mode="json", exclude={"trials", "budget_seconds"})
    return canonical_hash([model_request(config, dataset_id), "search", tune])


def lists_request(config: Config, dataset_id: str, model_id: str) -> str:
    """Return the key of published lists."""
    section = config.score.model_dump(mode="json")
    for resource in ("workers", "cpus_per_worker", "gpus_per_worker"):
        section.pop(resource)
    return canonical_hash([CONTRACT_VERSION, _REASONS, "lists", section, dataset_id, model_id])
