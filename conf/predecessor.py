"""Find the dataset whose numbers a new one goes on from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from conf.contract import MANIFEST_NAME
from conf.fingerprint import InputFile, dataset_request
from conf.schema import Config
from conf.workspace import read_json, read_pointer


def base_dataset(
    config: Config, inputs: Mapping[str, Sequence[InputFile]], logical_date: str | None
) -> str | None:
    """Return the id of the dataset to go on from, None where there is none.

    A dataset that was made from the very same input has its base named in its manifest: that one
    is returned, so that running again finds it done. Else it is the published dataset of the
    newest logical date, of those before `logical_date` where one is given.
    """
    folder = Path(config.run.output) / "datasets"
    committed = {path.parent.name: read_json(path)
                 for path in sorted(folder.glob(f"*/{MANIFEST_NAME['datasets']}"))}  # fmt: skip
    for manifest in committed.values():
        base = manifest.get("base")
        if manifest["request"] == dataset_request(config, inputs, logical_date, base):
            return None if base is None else str(base)
    pointer = read_pointer(Path(config.run.output), "datasets") or {}
    published = [pointer["id"], *pointer["previous"]] if pointer else []
    return _newest({name: committed[name] for name in published if name in committed}, logical_date)


def _newest(published: Mapping[str, Mapping[str, Any]], before: str | None) -> str | None:
    """Return the newest by logical date; of one date, the one published last."""
    earlier = [
        name
        for name, manifest in published.items()
        if before is None or manifest["logical_date"] < before
    ]
    return max(earlier, key=lambda name: str(published[name]["logical_date"]), default=None)
