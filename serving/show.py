"""Look up one user: the history, the published list with its reasons, the titles of the items.

Only a few row groups are read, with pyarrow alone: neither Ray nor torch is started.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from conf.contract import (
    CHANNELS,
    HISTORY_ITEMS,
    HISTORY_TIMES,
    HISTORY_TYPES,
    ITEM_ID,
    ITEM_IDX,
    LIST_ID,
    POSITION,
    PROPENSITY,
    REASONS,
    RULES,
    SCORE,
    SOURCE,
    TEXTS,
    TITLE,
    USER_ID,
    WHY_ABSENT,
    WHY_FALLBACK,
    WHY_SHORT,
    ListFigures,
    ListsManifest,
    Manifest,
    ScenarioLists,
    lists_key,
)
from conf.errors import ConfigError, InputError, VersionError
from conf.privacy.fitting import warn_of_raw_ids
from conf.privacy.log_ids import forms_in_dataset, has_labels
from conf.settings.config import Config
from conf.workspace.parquet import read_columns
from conf.workspace.pointers import current_version, read_pointer
from conf.workspace.publications import canary_of, in_canary
from conf.workspace.versions import read_manifest
from serving.publishing.parts import CHANNELS_SCHEMA, read_row_group
from serving.rules.possible import MEANINGS

FIRST = "first"
NUM_SHOWN = 20
_MIDDLING_EVENTS = 5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Place(NamedTuple):
    """Part and row of a user in users/ and histories/; the lists have the same part."""

    part: int
    row: int
    user_id: str


def run(config: Config, *, user_id: str, scenario: str | None = None) -> dict[str, Any]:
    """Return a user's newest events and published list.

    Args:
        config: Names the workspace.
        user_id: The id in the log (this needs the key if labels replace ids) or in the lists;
            `first` for the first user with at least `_MIDDLING_EVENTS` events.
        scenario: Whose list is shown; None: the default list.

    Raises:
        ConfigError: When the published lists have no such scenario, or their dataset no such user.
    """
    workspace = Path(config.run.output)
    seen = _seen_by(config, user_id)
    lists_id, lists, manifest, place = seen.lists.id, seen.lists, seen.manifest, seen.place
    figures = _figures(lists, scenario)
    warn_of_raw_ids(config, lists_id)
    dataset = workspace / "datasets" / manifest.id
    events = _events(dataset, manifest, place)
    folder = workspace / "lists" / lists_id
    rows = _list_rows(folder, lists, place, scenario)
    absent = _why_absent(folder, figures, place)
    items = _items(dataset, manifest, events, rows)
    by_idx = {item[ITEM_IDX]: item for item in items}
    by_id = {item[ITEM_ID]: item for item in items}
    return {
        "stage": "show",
        "user_id": place.user_id,
        "lists_id": lists_id,
        **seen.told,
        **_of_scenario(scenario, figures, is_in=bool(rows) or absent is not None),
        "history": [_shown_event(event, by_idx) for event in events],
        "list_id": rows[0].get(LIST_ID) if rows else None,
        "list": [_shown_row(row, by_id) for row in rows],
        **_reasons_of_list(rows, absent),
    }


class _Seen(NamedTuple):
    """The lists that a user sees."""

    lists: ListsManifest
    manifest: Manifest
    """Their dataset."""
    place: _Place
    told: dict[str, Any]
    """`sees`, canary or current, and the share of the canary; {} if there is no canary."""


def _seen_by(config: Config, user_id: str) -> _Seen:
    """Return the lists that a user sees: the current ones, or those of the canary.

    Raises:
        ConfigError: When their dataset has no such user.
    """
    workspace = Path(config.run.output)
    current = _opened(workspace, current_version(workspace, "lists"))
    canary = canary_of(read_pointer(workspace, "lists"))
    if user_id == FIRST:
        user_id = _first(workspace / "datasets" / current[1].id, current[1]).user_id
    if canary is None:
        return _Seen(*current, _place(config, current[1], user_id), {})
    of_canary = _opened(workspace, canary.id)
    try:
        name = _place(config, of_canary[1], user_id).user_id
    except ConfigError:
        name = _place(config, current[1], user_id).user_id  # it may be in the other dataset alone
    is_in = bool(in_canary(pa.array([name]), canary.share, config.run.name)[0])
    lists, manifest = of_canary if is_in else current
    told = {"sees": "canary" if is_in else "current", "share": canary.share}
    return _Seen(lists, manifest, _place(config, manifest, user_id), told)


def _opened(workspace: Path, lists_id: str) -> tuple[ListsManifest, Manifest]:
    """Return the manifests of lists and of their dataset."""
    lists = read_manifest(workspace, "lists", lists_id, ListsManifest)
    return lists, read_manifest(workspace, "datasets", lists.dataset_id, Manifest)


def _figures(lists: ListsManifest, scenario: str | None) -> ListFigures:
    """Return what is counted in lists of one kind.

    Raises:
        ConfigError: When there is no such scenario.
    """
    if scenario is None:
        return lists
    if scenario not in lists.scenarios:
        known = ", ".join(lists.scenarios) or "none; set score.scenarios, and run headrace score"
        raise ConfigError(
            f"--scenario={scenario!r}: lists {lists.id} have no such scenario; there are: {known}"
        )
    return lists.scenarios[scenario]


def _of_scenario(scenario: str | None, figures: ListFigures, *, is_in: bool) -> dict[str, Any]:
    """Return what is shown of a scenario: whether the user is in it, and who is."""
    if not isinstance(figures, ScenarioLists):
        return {}
    return {"scenario": scenario, "in_scenario": is_in, "users_where": figures.users_where}


def _place(config: Config, manifest: Manifest, user_id: str) -> _Place:
    """Return the place of a user in a dataset.

    Raises:
        ConfigError: When the dataset has no such user.
    """
    names = forms_in_dataset(config, manifest, "user", user_id)
    dataset = Path(config.run.output) / "datasets" / manifest.id
    examples: list[str] = []
    for part, group in enumerate(manifest.row_groups("users")):
        ids = read_row_group(dataset, group, [USER_ID])[USER_ID].cast(pa.string())
        for name in names:
            row = pc.index(ids, name).as_py()
            if row >= 0:
                return _Place(part, row, name)
        examples = examples or ids.slice(0, 3).to_pylist()
    labelled = has_labels(manifest, "user")
    who = "this user" if labelled else f"user {names[0]!r}"
    hint = "; for an id of the log, give the key that made them" if labelled else ""
    raise ConfigError(
        f"{who} is not in dataset {manifest.id}; ids look like "
        f"{', '.join(map(repr, examples))}{hint}; --user first shows any user"
    )


def _first(dataset: Path, manifest: Manifest) -> _Place:
    """Return the first user with `_MIDDLING_EVENTS` events or more.

    If there is none, return the user with the longest history in the first part with users.
    """
    best: tuple[int, int] | None = None
    groups = manifest.row_groups("histories")
    for part, group in enumerate(groups):
        items = read_row_group(dataset, group, [HISTORY_ITEMS])[HISTORY_ITEMS]
        lengths = pc.list_value_length(items).to_numpy()
        enough = np.flatnonzero(lengths >= _MIDDLING_EVENTS)
        if len(enough):
            best = part, int(enough[0])
            break
        if best is None and len(lengths):
            best = part, int(lengths.argmax())
    if best is None:
        raise InputError(f"dataset {manifest.id} has no users; build it from a log with users")
    part, row = best
    ids = read_row_group(dataset, manifest.row_groups("users")[part], [USER_ID])[USER_ID]
    return _Place(part, row, str(ids[row].as_py()))


def _events(dataset: Path, manifest: Manifest, place: _Place) -> list[dict[str, Any]]:
    """Return the newest events, the newest first, as when, event and item number."""
    columns = [HISTORY_TIMES, HISTORY_TYPES, HISTORY_ITEMS]
    group = manifest.row_groups("histories")[place.part]
    history = read_row_group(dataset, group, columns).slice(place.row, 1).to_pylist()[0]
    logs = manifest.config["input"]["events"].values()
    is_order = any(log["time_unit"] == "order" for log in logs)
    newest = list(zip(*(history[name] for name in columns), strict=True))[::-1][:NUM_SHOWN]
    return [
        {
            "when": str(time) if is_order else (_EPOCH + timedelta(microseconds=time)).isoformat(),
            "event": manifest.event_types[event_type],
            ITEM_IDX: item_idx,
        }
        for time, event_type, item_idx in newest
    ]


def _list_rows(
    folder: Path, lists: ListsManifest, place: _Place, scenario: str | None
) -> list[dict[str, Any]]:
    files = lists.files[lists_key(scenario)]
    if place.part >= len(files):
        raise VersionError(f"lists {lists.id} have fewer parts than their dataset; score again")
    path = folder / files[place.part].path
    names = [*CHANNELS_SCHEMA.names, RULES, PROPENSITY, TEXTS]
    rows = read_columns(path, names, pc.field(USER_ID) == place.user_id)
    found: list[dict[str, Any]] = rows.sort_by(POSITION).to_pylist()
    return found


def _why_absent(folder: Path, lists: ListFigures, place: _Place) -> str | None:
    """Return why the user has no list; None with a list."""
    if lists.absent is None:
        return None
    is_user = pc.field(USER_ID) == place.user_id
    found: list[str] = read_columns(folder / lists.absent.path, [WHY_ABSENT], is_user)[
        WHY_ABSENT
    ].to_pylist()
    return found[0] if found else None


def _reasons_of_list(rows: Sequence[dict[str, Any]], absent: str | None) -> dict[str, Any]:
    """Return why the list is a fallback, short or missing, each as reason and meaning, or None."""
    first = rows[0] if rows else {}
    found = {name: first.get(name) for name in (WHY_FALLBACK, WHY_SHORT)} | {WHY_ABSENT: absent}
    return {
        name: None if reason is None else {"reason": reason, "meaning": MEANINGS.get(reason, "")}
        for name, reason in found.items()
    }


def _items(
    dataset: Path,
    manifest: Manifest,
    events: Iterable[dict[str, Any]],
    rows: Iterable[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Return number, id and title of all items that are shown."""
    numbers = {event[ITEM_IDX] for event in events}
    names = {row[ITEM_ID] for row in rows}
    names |= {reason[ITEM_ID] for row in rows for reason in row[REASONS] or ()}
    has_number = pc.field(ITEM_IDX).isin(pa.array(numbers, pa.int64()))
    wanted = has_number | pc.field(ITEM_ID).isin(pa.array(names, pa.string()))
    found: list[dict[str, Any]] = []
    for file in manifest.files["items"]:
        table = read_columns(dataset / file.path, (ITEM_IDX, ITEM_ID, TITLE), wanted)
        found.extend(table.to_pylist())
    return found


def _shown_event(event: dict[str, Any], by_idx: dict[int, dict[str, Any]]) -> dict[str, Any]:
    item = by_idx.get(event[ITEM_IDX], {})
    return {
        "when": event["when"],
        "event": event["event"],
        "item_id": item.get(ITEM_ID, "(unknown)"),
        "title": item.get(TITLE),
    }


def _shown_row(row: dict[str, Any], by_id: dict[str, dict[str, Any]]) -> dict[str, Any]:
    because = [
        f"{by_id.get(reason[ITEM_ID], {}).get(TITLE) or reason[ITEM_ID]} ({reason['weight']:.0%})"
        for reason in row[REASONS] or ()
    ]
    return {
        "position": row[POSITION],
        "item_id": row[ITEM_ID],
        "title": by_id.get(row[ITEM_ID], {}).get(TITLE),
        "score": row[SCORE],
        "source": row[SOURCE],
        "because": because,
        TEXTS: row.get(TEXTS),
        **{name: row[name] or [] for name in (CHANNELS, RULES) if name in row},
        **({PROPENSITY: row[PROPENSITY]} if PROPENSITY in row else {}),
    }
