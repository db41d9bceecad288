"""Read a channel that is a file of item ids."""

import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from conf.contract import Manifest
from conf.errors import InputError
from conf.privacy.log_ids import as_in_dataset
from conf.settings.config import Config
from serving.publishing.parts import read_item_ids
from serving.rules.reading.item_lists import read_item_list

log = logging.getLogger(__name__)


def read_picks(config: Config, manifest: Manifest, key: str, path: Path) -> tuple[str, ...]:
    """Return the item ids of a channel as the dataset has them, each once, best first.

    Ids that the dataset lacks are left out and counted in the log.

    Args:
        config: Names the workspace and the key.
        manifest: The dataset.
        key: Dotted name of the channel, for messages.
        path: Its file.

    Raises:
        InputError: When the file is no text, or the dataset has none of its ids.
        ConfigError: When the dataset has labels in place of item ids, and there is no key.
    """
    as_id = as_in_dataset(config, manifest, "item", f"reading {key}")
    written = list(dict.fromkeys(map(as_id, read_item_list(key, path))))
    dataset = Path(config.run.output) / "datasets" / manifest.id
    ids = pa.array(written, pa.string())
    known = pc.is_in(ids, value_set=read_item_ids(dataset, manifest).drop_null())
    found: list[str] = ids.filter(known).to_pylist()
    if not found:
        raise InputError(
            f"{key}: {path} has {len(written)} item ids, and dataset {manifest.id} has none of "
            "them; write ids as in the log, one per line"
        )
    if len(found) < len(written):
        lacking = len(written) - len(found)
        log.warning("score: %s: the dataset lacks %d of its %d items", key, lacking, len(written))
    return tuple(found)
