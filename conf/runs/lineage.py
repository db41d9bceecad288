"""Find what a new version builds on: a dataset, a model to start from, earlier lists."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from conf.contract import MANIFEST_NAME
from conf.privacy.learned import learned_from_erased, told_learned
from conf.runs.inputs.input_files import InputFile
from conf.runs.inputs.request_keys import dataset_request
from conf.runs.results import Result, manifest_of
from conf.settings.config import Config
from conf.workspace.folders import manifests_of
from conf.workspace.pointers import read_pointer
from conf.workspace.publications import ShownLists, all_shown
from conf.workspace.versions import UNDATED

log = logging.getLogger(__name__)
CURRENT = "current"


def base_dataset(
    config: Config, inputs: Mapping[str, Sequence[InputFile]], logical_date: str | None
) -> str | None:
    """Return the id of the dataset to extend, or None if there is none.

    If a dataset was already made from the same input, its base is returned, so a repeated run finds
    it done. Otherwise it is the published dataset with the newest logical date; if `logical_date`
    is given, only datasets of earlier dates count.
    """
    folder = Path(config.run.output) / "datasets"
    committed = {
        path.parent.name: manifest_of(folder.parent, "datasets", path.parent.name)
        for path in manifests_of(folder.parent, "datasets")
    }
    for manifest in committed.values():
        base = manifest.get("base")
        if manifest["request"] == dataset_request(config, inputs, logical_date, base):
            return None if base is None else str(base)
    pointer = read_pointer(Path(config.run.output), "datasets") or {}
    published = [pointer["id"], *pointer["previous"]] if pointer else []
    return _newest({name: committed[name] for name in published if name in committed}, logical_date)


def _newest(published: Mapping[str, Mapping[str, Any]], before: str | None) -> str | None:
    """Return the newest by logical date; of the same date, the one published last."""
    earlier = [
        name
        for name, manifest in published.items()
        if before is None or manifest["logical_date"] < before
    ]
    return max(earlier, key=lambda name: str(published[name]["logical_date"]), default=None)


def with_start(config: Config, dataset_id: str) -> Config:
    """Return the configuration with the id of the model that `train.warm_start` refers to.

    `current` refers to a model of another dataset, so a repeated training starts from the same
    model and finds itself done. Models that learned from erased users are passed over.
    """
    spec = config.train.warm_start
    if spec.model != CURRENT:
        return config
    model = _newest_elsewhere(Path(config.run.output), dataset_id)
    log.info("train: %s", f"starts from {model}" if model else "no model yet to start from")
    section = config.train.model_copy(
        update={"warm_start": spec.model_copy(update={"model": model})}
    )
    return config.model_copy(update={"train": section})


def _newest_elsewhere(workspace: Path, dataset_id: str | None) -> str | None:
    """Return the newest published network of another dataset, not later than this one's day.

    None stands for a dataset that is still to come.
    """
    pointer = read_pointer(workspace, "models") or {}
    day = UNDATED
    if dataset_id is not None:
        day = manifest_of(workspace, "datasets", dataset_id)["logical_date"]
    for version in filter(None, [pointer.get("id"), *pointer.get("previous", [])]):
        if not (workspace / "models" / version / MANIFEST_NAME["models"]).is_file():
            continue  # removed by hand
        bundle = manifest_of(workspace, "models", version)
        is_network = bundle["algorithm"] == "neural" and bundle["dataset_id"] != dataset_id
        if not is_network or is_later(bundle["logical_date"], day):
            continue
        learned = learned_from_erased(workspace, version)
        if learned == "no":
            return str(version)
        log.warning("train: does not start from %s, which %s", version, told_learned(learned))
    return None


def is_later(date: str, other: str) -> bool:
    """Return whether a logical date is later than another; an undated one never is."""
    return UNDATED not in (date, other) and date > other


def shown_lists(
    config: Config, dataset_id: str, scenario: str | None = None
) -> tuple[ShownLists, ...]:
    """Return the lists for `score.rules.fatigue`, newest first; those of the same day do not count.

    So a run that finds its own lists published does not make others. What was rolled back does not
    count either. Each user has seen at most `score.rules.fatigue.versions` of these lists that
    count for the user: of canaries, those that the user was in.

    Args:
        config: The run's configuration.
        dataset_id: The dataset.
        scenario: Versions without lists of this scenario do not count; None: the default lists.
    """
    return _shown(config, manifest_of(Path(config.run.output), "datasets", dataset_id), scenario)


def _shown(config: Config, dataset: Result | None, scenario: str | None) -> tuple[ShownLists, ...]:
    """Return the lists that fatigue looks at; without a dataset, those for one of a later day."""
    rules, workspace = config.score.sections[scenario].rules, Path(config.run.output)
    pointer = read_pointer(workspace, "lists")
    if rules is None or rules.fatigue is None or pointer is None:
        return ()
    found: list[ShownLists] = []
    for one in all_shown(pointer, config.run.name):
        if sum(other.share == 1 for other in found) == rules.fatigue.versions:
            break
        if not (workspace / "lists" / one.id / MANIFEST_NAME["lists"]).is_file():
            continue  # removed since
        manifest = manifest_of(workspace, "lists", one.id)
        is_earlier = dataset is None or is_later(dataset["logical_date"], manifest["logical_date"])
        if is_earlier and (scenario is None or scenario in manifest.get("scenarios", {})):
            found.append(one)
    return tuple(found)


def shown_in_scenarios(config: Config, dataset_id: str) -> dict[str, tuple[ShownLists, ...]]:
    """Return the lists of each scenario that has such a rule; see `shown_lists`."""
    found = {name: shown_lists(config, dataset_id, name) for name in config.score.scenarios}
    return {name: versions for name, versions in found.items() if versions}


def needed_again(config: Config) -> dict[tuple[str, str], str]:
    """Return what the next run needs of earlier ones, as kind and id, with reasons.

    It is what `etl.vocabulary`, `train.warm_start` and `score.rules.fatigue` refer to, for the
    current dataset as well as for one of a later day. Some of it may be missing.
    """
    workspace, found = Path(config.run.output), dict[tuple[str, str], str]()
    dataset = _current_dataset(workspace)
    for scenario in config.score.sections:
        shown = _shown(config, None, scenario)
        shown += () if dataset is None else _shown(config, dataset, scenario)
        found |= {("lists", one.id): "score.rules.fatigue looks at it" for one in shown}
    for train in filter(None, (config.train, config.ranker)):
        model = train.warm_start.model
        if model == CURRENT:
            model = _newest_elsewhere(workspace, None)
        if model is not None:
            found["models", model] = "train.warm_start starts from it"
    if config.etl.vocabulary == "extend":
        pointer = read_pointer(workspace, "datasets")
        named = [] if pointer is None else [pointer["id"], *pointer["previous"]]
        base = _newest({name: one for name in named if (one := _there(workspace, name))}, None)
        found |= {} if base is None else {("datasets", base): "etl.vocabulary=extend continues it"}
    return found


def _current_dataset(workspace: Path) -> Result | None:
    pointer = read_pointer(workspace, "datasets")
    return None if pointer is None else _there(workspace, pointer["id"])


def _there(workspace: Path, dataset: str) -> Result | None:
    """Return the manifest of a dataset; None if it was removed."""
    is_there = (workspace / "datasets" / dataset / MANIFEST_NAME["datasets"]).is_file()
    return manifest_of(workspace, "datasets", dataset) if is_there else None
