"""Look up one audience: the published list of users whom its items fit best.

Only the file of the audience is read, with pyarrow alone: neither Ray nor torch is started.
"""

from pathlib import Path
from typing import Any

from conf.contract import AUDIENCES, POSITION, SCORE, USER_ID, ListsManifest
from conf.errors import ConfigError
from conf.privacy.fitting import warn_of_raw_ids
from conf.settings.config import Config
from conf.workspace.parquet import read_columns
from conf.workspace.pointers import current_version
from conf.workspace.versions import read_manifest

FIRST = "first"
NUM_SHOWN = 20


def run(config: Config, *, audience: str) -> dict[str, Any]:
    """Return the first users of a published audience.

    Args:
        config: Names the workspace.
        audience: Its name in `score.audiences`; `first` for the first one.

    Raises:
        ConfigError: When the published lists have no such audience.
    """
    workspace = Path(config.run.output)
    lists_id = current_version(workspace, "lists")
    lists = read_manifest(workspace, "lists", lists_id, ListsManifest)
    warn_of_raw_ids(config, lists_id)
    files = {Path(file.path).stem: file.path for file in lists.files.get(AUDIENCES, ())}
    name = next(iter(files), audience) if audience == FIRST else audience
    if name not in files:
        there = ", ".join(files) or "none; set score.audiences, and run headrace score"
        raise ConfigError(f"lists {lists_id} have no audience {name!r}; they have {there}")
    rows = read_columns(workspace / "lists" / lists_id / files[name], [USER_ID, POSITION, SCORE])
    return {
        "stage": "show",
        "audience": name,
        "lists_id": lists_id,
        **lists.audiences[name],
        "shown": rows.slice(0, NUM_SHOWN).to_pylist(),
    }
