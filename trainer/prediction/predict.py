"""Predict the pairs of a file with a ranking model, every row of it.

Legend of shapes: M rows of the file, T labels.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq
import torch

from conf.contract import (
    GAP,
    HISTORY_ITEMS,
    HISTORY_TIMES,
    ITEM_ID,
    ITEM_IDX,
    NUM_RESERVED,
    UNKNOWN_IDX,
    USER_ID,
    USER_IDX,
    Manifest,
)
from conf.errors import ConfigError
from conf.privacy.log_ids import Kind, as_files_name_them
from conf.settings.config import Config
from conf.workspace.json_files import written_whole
from conf.workspace.parquet import read_columns
from conf.workspace.versions import read_manifest
from trainer.data.columns import Ragged, lists_of, numbers_of
from trainer.data.stream import read_row_groups
from trainer.prediction.context import Context, Known, PartContext
from trainer.prediction.given import Table, fields_in, histories_in, numbers_in, read_pairs
from trainer.prediction.pairs import PairModel, PartPairs, load_pairs

log = logging.getLogger(__name__)
PREDICTED = "predicted_"  # before a label's name
USER_KNOWN, ITEM_KNOWN = "user_known", "item_known"
_WRITERS: dict[str, Callable[..., Any]] = {".csv": pc_csv.write_csv, ".parquet": pq.write_table}


def run(
    config: Config, *, dataset_id: str, model_id: str, source: Path, target: Path
) -> dict[str, Any]:
    """Write the rows of a file with the prediction of each label; return their counts.

    Args:
        config: The run's configuration.
        dataset_id: The dataset, which gives features, histories and numbers.
        model_id: A ranking model.
        source: CSV or Parquet file with `user_id` and `item_id`.
        target: File to write, of either kind.

    Raises:
        ConfigError: When the model is no ranking model, or the target's kind is not known.
        InputError: When the file or a row of it cannot be read.
    """
    if target.suffix not in _WRITERS:
        raise ConfigError(f"--output={str(target)!r}: the name must end in .csv or .parquet")
    if target.exists() and source.exists() and target.samefile(source):
        raise ConfigError(f"--output={str(target)!r} is the input itself; name another file")
    workspace = Path(config.run.output).resolve()
    manifest = read_manifest(workspace, "datasets", dataset_id, Manifest)
    pairs = load_pairs(workspace, model_id, manifest, config.score.context, torch.device("cpu"))
    table = read_pairs(source)
    part, counts = _part(config, manifest, workspace / "datasets" / dataset_id, pairs, table)
    predicted = part.drawn_predictions(np.arange(len(part.users)), counts.pop(ITEM_IDX))
    rows = table.rows
    for label, column in zip(pairs.layout.labels, predicted.T, strict=True):
        rows = rows.append_column(PREDICTED + label, pa.array(column))
    for name in (USER_KNOWN, ITEM_KNOWN):
        rows = rows.append_column(name, pa.array(counts[name]))
    with written_whole(target) as stream:
        _WRITERS[target.suffix](_writable(rows, target), stream)
    found = {
        "rows": len(rows),
        "unknown_users": int((~counts[USER_KNOWN]).sum()),
        "unknown_items": int((~counts[ITEM_KNOWN]).sum()),
        "context_without_value": list(counts["without"]),
    }
    log.info("predict: %d rows, %d users and %d items unknown", *list(found.values())[:3])
    return found


def _writable(rows: pa.Table, target: Path) -> pa.Table:
    """Return the rows without lists if they go to a CSV file, which has none."""
    lists = [field.name for field in rows.schema if pa.types.is_list(field.type)]
    return rows.drop_columns(lists) if lists and target.suffix == ".csv" else rows


def _part(
    config: Config, manifest: Manifest, folder: Path, pairs: PairModel, table: Table
) -> tuple[PartPairs, dict[str, Any]]:
    """Return the rows of the file as a part, each with its own history, and what is known."""
    as_user, as_item = (
        as_files_name_them(config, manifest, kind, "predict") for kind in get_args(Kind)
    )
    users = numbers_in(table, USER_ID, _ids(folder, manifest, "user"), as_user)
    item_ids = _ids(folder, manifest, "item")
    items = numbers_in(table, ITEM_ID, item_ids, as_item)
    numbers = {text: place for place, text in enumerate(item_ids.to_pylist()) if text is not None}
    given = histories_in(table, numbers)
    histories = _histories(folder, manifest, users) if given is None else _ragged(given)
    own = fields_in(table, folder, manifest, pairs.layout.context_fields)
    context, without = _context(pairs.context, histories, own, has_times=given is None)
    if without:
        log.warning(
            "predict: the model takes %s, which the file lacks: it is given a missing value",
            ", ".join(without),
        )
    known_users = pairs.model.get_buffer("known_users").numpy()
    known_items = items < pairs.bundle.vocabularies["item"].size
    is_old = users < len(known_users)
    counts = {
        ITEM_IDX: items,
        USER_KNOWN: (users != UNKNOWN_IDX) & is_old & known_users[np.where(is_old, users, 0)],
        ITEM_KNOWN: (items != UNKNOWN_IDX) & known_items,
        "without": without,
    }
    return PartPairs(pairs, histories, users, context), counts


def _context(
    context: Context, histories: Ragged, own: dict[str, Known], *, has_times: bool
) -> tuple[PartContext, tuple[str, ...]]:
    """Return the context with what the file gives, and the fields without a sound value."""
    names = [field.name for field in context.fields]
    known = {name: one for name, one in context.known.items() if name not in own} | own
    without = [name for name in context.without_value if name not in own]
    if GAP in names and GAP not in own and not has_times:
        known[GAP] = Known("all", np.zeros((1, 2), dtype=np.float32))
        without.append(GAP)
    changed = Context(context.fields, known, context.as_of, tuple(without))
    return changed.for_part(histories), tuple(without)


def _ids(folder: Path, manifest: Manifest, vocabulary: str) -> pa.Array:
    """Return the id of each number of users or items, null for the others."""
    key, number = (USER_ID, USER_IDX) if vocabulary == "user" else (ITEM_ID, ITEM_IDX)
    ids: list[str | None] = [None] * manifest.vocabularies[vocabulary].size
    for file in manifest.files[f"{vocabulary}s"]:
        table = read_columns(folder / file.path, [number, key])
        for place, text in zip(table[number].to_pylist(), table[key].to_pylist(), strict=True):
            ids[place] = str(text)
    return pa.array(ids, pa.string())


def _histories(folder: Path, manifest: Manifest, users: np.ndarray) -> Ragged:
    """Return the whole history of each row's user, empty for unknown users."""
    wanted = np.unique(users[users >= NUM_RESERVED])
    found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    columns = (USER_IDX, HISTORY_ITEMS, HISTORY_TIMES)
    for _, block in read_row_groups(folder, manifest.row_groups("histories"), columns):
        items, times = lists_of(block, HISTORY_ITEMS), lists_of(block, HISTORY_TIMES).values
        for row in np.flatnonzero(np.isin(numbers_of(block, USER_IDX), wanted)):
            own = slice(items.offsets[row], items.offsets[row + 1])
            found[int(numbers_of(block, USER_IDX)[row])] = items.values[own], times[own]
    none = np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int64)
    each = [found.get(int(user), none) for user in users]
    whole = _ragged([items.tolist() for items, _ in each])
    return whole._replace(beside={HISTORY_TIMES: np.concatenate([none[1], *(t for _, t in each)])})


def _ragged(rows: list[list[int]]) -> Ragged:
    values = np.array([item for row in rows for item in row], dtype=np.int32)
    return Ragged(values, np.cumsum([0, *map(len, rows)]).astype(np.int64))
