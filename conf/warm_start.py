"""Which model a training goes on from."""

import logging
from pathlib import Path

from conf.contract import MANIFEST_NAME
from conf.results import manifest_of
from conf.schema import Config
from conf.workspace import UNDATED, read_pointer

log = logging.getLogger(__name__)
CURRENT = "current"


def with_start(config: Config, dataset_id: str) -> Config:
    """Return the configuration with the id of the model that `train.warm_start` means.

    Where `current` means a model of another dataset, a training that is run again goes on from
    the same one, and finds itself done.
    """
    spec = config.train.warm_start
    if spec.model != CURRENT:
        return config
    model = _newest_elsewhere(Path(config.run.output), dataset_id)
    log.info("train: %s", f"goes on from {model}" if model else "no model yet to go on from")
    section = config.train.model_copy(
        update={"warm_start": spec.model_copy(update={"model": model})}
    )
    return config.model_copy(update={"train": section})


def _newest_elsewhere(workspace: Path, dataset_id: str) -> str | None:
    """Return the newest published network of another dataset, of the same day at the latest."""
    pointer = read_pointer(workspace, "models") or {}
    day = manifest_of(workspace, "datasets", dataset_id)["logical_date"]
    for version in filter(None, [pointer.get("id"), *pointer.get("previous", [])]):
        if not (workspace / "models" / version / MANIFEST_NAME["models"]).is_file():
            continue  # removed by hand
        bundle = manifest_of(workspace, "models", version)
        is_network = bundle["algorithm"] == "neural" and bundle["dataset_id"] != dataset_id
        if is_network and not is_later(bundle["logical_date"], day):
            return str(version)
    return None


def is_later(date: str, other: str) -> bool:
    """Return whether a logical date is behind another; an undated one is not."""
    return UNDATED not in (date, other) and date > other
