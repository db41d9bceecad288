"""Write the sentences of one part's lists: one for each place and language.

A sentence names the strongest reason of a place. Where there is none, it says that the item is new
or popular, if it is; else there is no sentence. All that comes from data is escaped for HTML.

Legend of shapes: N users of a part, K list length, M places with an item, E events of a part,
V catalogue, S different sentences.
"""

import html
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from conf.contract import HISTORY_TYPES, ITEM_IDX, NUM_RESERVED, TITLE, TRAIN_EVENTS, Manifest
from conf.errors import ConfigError
from conf.workspace.parquet import read_columns
from serving.reasons.templates import (
    AFTER,
    NEW,
    NEW_IN,
    POPULAR,
    POPULAR_IN,
    Templates,
    shown,
    template_of_act,
)
from trainer.data.columns import Ragged

TAKES_THE_NEXT = "markov"
"""The algorithm whose reason is that people take an item after another."""
_BECAUSE, _NEW, _POPULAR, _SILENT = range(4)


class Places(NamedTuple):
    """The items of the lists of a part, in the order of the written rows."""

    user: np.ndarray
    """[M] int64, row of the user in the part."""
    item: np.ndarray
    """[M] int64"""
    reason: np.ndarray
    """[M] int64, the strongest reason, negative if there is none."""
    is_fallback: np.ndarray
    """[M] bool"""


class Sentences:
    """Writes sentences in the languages that are asked for."""

    def __init__(
        self,
        templates: Mapping[str, Templates],
        field: str | None,
        dataset: Path,
        manifest: Manifest,
        algorithm: str,
    ) -> None:
        """Read the titles of the items.

        Args:
            templates: By language.
            field: `score.texts.field`
            dataset: Folder of the dataset.
            manifest: Its manifest.
            algorithm: `train.algorithm` of the model.

        Raises:
            ConfigError: When the dataset lacks the field.
        """
        self.templates = templates
        self.algorithm = algorithm
        self.event_types = manifest.event_types
        kinds = manifest.config.get("etl", {}).get("event_types", {})
        self.weights = np.array(
            [kinds.get(name, {}).get("weight", 1.0) for name in manifest.event_types]
        )
        items = _items(dataset, manifest, field)
        self.titles, self.groups, self.is_new = items

    def column(self, places: Places, histories: Ragged) -> pa.StructArray:
        """Return the sentences of all places: [M], a struct of languages; null where none fits.

        Args:
            places: The items of the lists.
            histories: [N] histories of the same users, with the types of the events.
        """
        parts = np.stack(self._parts(places, histories), axis=1)  # [M, 3]
        different, which = np.unique(parts, axis=0, return_inverse=True)  # [S, 3], [M]
        rows = [self._sentence_parts(*row) for row in different.tolist()]
        columns = []
        for templates in self.templates.values():
            said = [self._said(templates, *row) for row in rows]
            columns.append(pa.array(said, pa.string()).take(pa.array(which.reshape(-1))))
        missing = columns[0].is_null()
        return pa.StructArray.from_arrays(columns, list(self.templates), mask=missing)

    def _parts(
        self, places: Places, histories: Ragged
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what each sentence is made of: kind, event type, and item to name: [M] each."""
        nothing = np.full(len(places.item), -1)
        has_reason = places.reason >= NUM_RESERVED
        has_reason[has_reason] = [
            self.titles[item] is not None for item in places.reason[has_reason]
        ]
        kind = np.select(
            [has_reason, self.is_new[places.item], places.is_fallback],
            [_BECAUSE, _NEW, _POPULAR],
            _SILENT,
        )
        acts = nothing.copy()
        acts[has_reason] = strongest_types(
            places.user[has_reason], places.reason[has_reason], histories, self.weights
        )
        item = np.select([has_reason, kind != _SILENT], [places.reason, places.item], nothing)
        return kind, acts, item

    def _sentence_parts(self, kind: int, act: int, item: int) -> tuple[str, str, str | None]:
        """Return kind of template, event type and the value to fill in, None for none."""
        if kind == _BECAUSE:
            name = AFTER if self.algorithm == TAKES_THE_NEXT else "because"
            return name, self.event_types[act] if act >= 0 else "", self.titles[item]
        if kind == _SILENT:
            return "", "", None
        group = self.groups[item]
        alone, within = (NEW, NEW_IN) if kind == _NEW else (POPULAR, POPULAR_IN)
        return alone if group is None else within, "", group

    def _said(self, templates: Templates, kind: str, act: str, value: str | None) -> str | None:
        if not kind:
            return None
        template = template_of_act(templates, act) if kind == "because" else templates[kind]
        return template.format(item=value, group=value)


def strongest_types(
    users: np.ndarray, items: np.ndarray, histories: Ragged, weights: np.ndarray
) -> np.ndarray:
    """Return the type of the weightiest event of a user with an item, of equal ones the newest.

    Args:
        users: [M] rows of `histories`.
        items: [M]
        histories: [N] histories with the types of the events.
        weights: [types] confidence in each type.

    Returns:
        [M] int64, place in the manifest's `event_types`; -1 for a pair without an event.
    """
    types = (histories.beside or {}).get(HISTORY_TYPES)
    if types is None or not len(histories.values):
        return np.full(len(users), -1)
    size = int(max(histories.values.max(), items.max(initial=0))) + 1
    owner = np.repeat(np.arange(len(histories.lengths)), histories.lengths)
    pairs = owner * size + histories.values  # [E]
    order = np.lexsort((np.arange(len(pairs)), weights[types], pairs))
    ordered = pairs[order]
    wanted = users * size + items
    last = np.searchsorted(ordered, wanted, side="right") - 1
    found = (last >= 0) & (ordered[last] == wanted)
    return np.where(found, types[order[last]], -1)


def _items(
    dataset: Path, manifest: Manifest, field: str | None
) -> tuple[list[str | None], list[str | None], np.ndarray]:
    """Return titles, groups and whether an item has no training event, by number: [V] each."""
    names = [ITEM_IDX, TITLE, TRAIN_EVENTS, *([] if field is None else [field])]
    tables = [read_columns(dataset / file.path, names) for file in manifest.files["items"]]
    items = pa.concat_tables(tables).sort_by(ITEM_IDX)
    if field is not None and field not in items.column_names:
        raise ConfigError(
            f"score.texts.field={field!r} is no field of the items of dataset {manifest.id}; "
            "declare it in input.items.fields and run headrace etl, or set it to null"
        )
    events = np.concatenate([np.ones(NUM_RESERVED), items[TRAIN_EVENTS].to_numpy()])
    nothing: list[str | None] = [None] * len(events)
    titles = _texts(items, TITLE) if TITLE in items.column_names else nothing
    groups = nothing if field is None else _texts(items, field)
    return titles, groups, events == 0


def _texts(items: pa.Table, name: str) -> list[str | None]:
    """Return a column as texts that are safe in HTML, null where nothing is left: [V]."""
    values = items[name].cast(pa.string()).to_pylist()
    safe = [html.escape(shown(value).strip()) if value else None for value in values]
    return [*[None] * NUM_RESERVED, *(value or None for value in safe)]
