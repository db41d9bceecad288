"""Hashes of what a version is made from: if the key exists, the stage has nothing to do."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from conf.contract import CONTRACT_VERSION, MAIN
from conf.errors import InputError
from conf.privacy.protection import request_part
from conf.runs.inputs.input_files import InputFile
from conf.settings.config import Config
from conf.settings.etl import acts_differ
from conf.settings.score import Scenario, Score
from conf.workspace.hashes import canonical_hash, hash_file
from conf.workspace.publications import ShownLists
from conf.workspace.storage import raise_storage_failure

_ROWS = 2
"""Raise it when the ETL makes other rows of the same input: all datasets are then made again."""
_LISTS = 5
"""Raise it when lists, or the figures in their manifest, change: all are then made again."""
_MODELS = 3
"""Raise it when a training writes other figures: all models are then made again."""
_STAGED = 2
"""Raise it when lists of candidates, or their figures, change: all such lists are made again."""
_RULED = 2
"""Raise it when lists with rules, or what is counted of rules, change: all such lists are made
again."""
_IN_NO_LIST = {
    "workers", "cpus_per_worker", "gpus_per_worker", "gates", "min_full_share", "max_pairs",
    "keep_unchanged",
}  # fmt: skip
_LATER = (
    "audiences", "candidates", "objective", "value", "context", "texts", "similar_items", "rules",
    "items_now", "diversity", "exploration", "scenarios", "index",
)  # fmt: skip
LISTS_CODE = (CONTRACT_VERSION, _LISTS, _STAGED, _RULED)
"""Lists that another code made are not kept."""
_COUNTING = 2
"""Raise it when the fit of counting models to confidences changes: those models are made again."""
_RANKING = 2
"""Raise it when ranking models change: they are then made again."""


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
            *(["counts at the end"] if _has_counts(config) else []),
            *(["confidences"] if acts_differ(config.etl.event_types.values()) else []),
            *([] if base is None else [base]),
            *([list(logs)] if is_strung else []),  # the hash itself sorts the logs by name
        ]
    )


def _has_counts(config: Config) -> bool:
    """Return whether the dataset has counts as of the day, and so those at its end."""
    return config.etl.impressions is not None and config.etl.features.as_of is not None


def model_request(config: Config, dataset_id: str, role: str = MAIN) -> str:
    """Return the key of a model; it includes whether seen items are ranked, and another role."""
    is_auto = config.train.algorithm == "auto"
    section = config.train.model_dump(
        mode="json", exclude={"gate"} if is_auto else {"gate", "auto"}
    )
    if is_auto:
        section["written"] = sorted(config.train.written - {"gate"})  # the others are chosen
    ranked = [] if config.score.drop_seen else ["seen items kept"]
    if acts_differ(config.etl.event_types.values()):
        ranked.append(f"counting {_COUNTING}")
    if config.train.algorithm == "ranking":
        ranked.append(f"ranking {_RANKING}")
    if role != MAIN:
        ranked.append(f"role {role}")
    parts = [CONTRACT_VERSION, _MODELS, "model", config.run.seed, section, dataset_id, *ranked]
    return canonical_hash(parts)


def search_request(config: Config, dataset_id: str) -> str:
    """Return the key of a search for settings; more trials or time continue the same search."""
    tune = config.tune.model_dump(mode="json", exclude={"trials", "budget_seconds"})
    return canonical_hash([model_request(config, dataset_id), "search", tune])


def _hash_of(key: str, path: str) -> str:
    """Return the hash of a file that a key of the configuration names.

    Raises:
        InputError: When there is no such file.
    """
    try:
        return hash_file(Path(path))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"{key}={path} is no file; name an existing one") from error
    except OSError as error:
        raise_storage_failure(error, Path(path))
        raise InputError(f"{key}={path} cannot be read: {error.strerror}") from error


def lists_request(
    config: Config,
    dataset_id: str,
    model_id: str,
    stages: Mapping[str, Any] | None = None,
    *,
    files: Mapping[str, Sequence[InputFile]] = MappingProxyType({}),
    shown: Sequence[ShownLists] = (),
    shown_in: Mapping[str, Sequence[ShownLists]] = MappingProxyType({}),
) -> str:
    """Return the key of lists; limits of gates are not in it, as they change no list.

    Args:
        config: The run's configuration.
        dataset_id: The dataset.
        model_id: The main model.
        stages: What else candidates depend on, see `conf.runs.candidates`; None: there are none.
        files: Of `conf.runs.inputs.list_files.list_files`.
        shown: Of `conf.runs.lineage.shown_lists`.
        shown_in: Of `conf.runs.lineage.shown_in_scenarios`.
    """
    section = config.score.model_dump(mode="json", exclude=_IN_NO_LIST | _unset(config.score))
    if config.score.texts.file is not None:
        section["texts"]["file"] = _hash_of("score.texts.file", config.score.texts.file)
    if config.score.similar_items is not None and config.score.similar_items.rules is None:
        del section["similar_items"]["rules"]  # then the key is as before this setting existed
    if config.score.scenarios:
        section["scenarios"] = {
            name: _of_scenario(name, scenario) for name, scenario in config.score.scenarios.items()
        }
    is_ruled = any(one.rules is not None for one in config.score.sections.values())
    hashes = {name: [file.sha256 for file in found] for name, found in files.items()}
    return canonical_hash(
        [
            CONTRACT_VERSION,
            _LISTS,
            "lists",
            section,
            dataset_id,
            model_id,
            *([] if stages is None else [_STAGED, dict(stages)]),
            *([f"rules {_RULED}"] if is_ruled else []),
            *([hashes] if hashes else []),
            *([["shown", *_named(shown)]] if shown else []),
            *([{name: _named(found) for name, found in shown_in.items()}] if shown_in else []),
            *([["draws", config.run.seed]] if config.score.explores else []),
        ]
    )


def _named(shown: Sequence[ShownLists]) -> list[Any]:
    """Return the ids of lists; of those that a share of the users saw, also who did."""
    return [one.id if one.share == 1 else [*one] for one in shown]


def _of_scenario(name: str, scenario: Scenario) -> dict[str, Any]:
    """Return what the key of lists says of a scenario."""
    found = scenario.model_dump(mode="json", exclude=_IN_NO_LIST)
    found = {key: value for key, value in found.items() if value is not None}
    file = None if scenario.texts is None else scenario.texts.file
    if file is not None:
        found["texts"]["file"] = _hash_of(f"score.scenarios.{name}.texts.file", file)
    return found


def section_of_lists(score: Score) -> dict[str, Any]:
    """Return what lists of one kind depend on in their section, but for what files contain."""
    others = {"scenarios", "audiences", "similar_items"}
    return score.model_dump(mode="json", exclude=_IN_NO_LIST | others)


def _unset(score: Score) -> set[str]:
    """Return the later settings that are as if they did not exist: the key is as before them."""
    return {name for name in _LATER if getattr(score, name) == Score.model_fields[name].default}
