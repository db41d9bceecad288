"""Read a channel that is a file of item ids."""

import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from conf.contract import Manifest
from conf.errors import ConfigError, InputError
from conf.privacy.keys import load_keys
from conf.privacy.sealing import pseudonym
from conf.runs.candidates import picks_path
from conf.settings.config import Config
from serving.publishing.parts import read_item_ids

log = logging.getLogger(__name__)


def read_picks(config: Config, manifest: Manifest, name: str) -> tuple[str, ...]:
    """Return the item ids of a channel as the dataset has them, each once, best first.

    Ids that the dataset lacks are left out and counted in the log.

    Raises:
        InputError: When the file is missing or no text, or the dataset has none of its ids.
        ConfigError: When the dataset has labels in place of item ids, and there is no key.
    """
    channels = config.score.candidates
    assert channels is not None
    key, path = f"score.candidates.{name}.path", picks_path(config, name, channels[name])
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{key}: {path} cannot be read as UTF-8 text") from error
    written = list(dict.fromkeys(text for line in lines if (text := line.strip())))
    dataset = Path(config.run.output) / "datasets" / manifest.id
    ids = pa.array(_labels(config, manifest, key, written), pa.string())
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


def _labels(config: Config, manifest: Manifest, key: str, ids: list[str]) -> list[str]:
    """Return the labels that a dataset has in place of item ids, or the ids themselves."""
    if manifest.privacy is None or "items" not in manifest.privacy.ids:
        return ids
    keys = load_keys(config.privacy)
    if keys is None:
        raise ConfigError(
            f"{key}: dataset {manifest.id} has labels in place of item ids, and there is no key to "
            "label the ids of the file; set privacy.key_file or privacy.key"
        )
    tenant = manifest.privacy.tenant
    return [pseudonym(keys.label, tenant, "item", one) for one in ids]
