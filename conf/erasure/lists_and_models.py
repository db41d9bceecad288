"""Rebuild lists and models without some users."""

import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from conf.contract import (
    AUDIENCES,
    CHANNELS,
    SOURCE,
    SOURCE_FALLBACK,
    SOURCE_MODEL,
    USER_ID,
    WHY_ABSENT,
    WHY_FALLBACK,
    WHY_SHORT,
    Bundle,
    DataFile,
    ListFigures,
    ListsManifest,
    ScenarioLists,
    Vocabulary,
    lists_key,
)
from conf.erasure.rows import Target, copy_without, matching_rows
from conf.pages.samples import copy_without_samples
from conf.workspace.hashes import hash_file
from conf.workspace.parquet import describe_parquet
from conf.workspace.swap import link

USER_EMBEDDING = "user_embedding.weight"
_HEADER_LENGTH_BYTES = 8
_EXHAUSTED = "catalogue_exhausted"


def rebuild_lists(
    manifest: ListsManifest, folder: Path, beside: Path, target: Target, emptied: Sequence[bool]
) -> tuple[ListsManifest, dict[str, int]]:
    """Write the parts of lists to a new folder, without the users' rows.

    Args:
        manifest: Manifest of the lists.
        folder: Folder of the lists.
        beside: Folder in which their replacement is built.
        target: The users.
        emptied: For each row group of the dataset's users, whether nobody in it is left. Its part
            is removed too, so parts and row groups still match.

    Returns:
        The new manifest, and the number of removed rows.
    """
    kinds: list[str | None] = [None, *manifest.scenarios]
    others = {*manifest.files} - {AUDIENCES, *(lists_key(kind) for kind in kinds)}
    files = {name: manifest.files[name] for name in others}
    for file in (file for part in files.values() for file in part):
        (beside / file.path).parent.mkdir(exist_ok=True)  # lists of items name no users
        link(folder / file.path, beside / file.path)
    place, removed_rows = (folder, beside, target), Counter[str]()
    renewed, default = {}, {}
    for kind in kinds:
        files[lists_key(kind)], changed, removed = _without_kind(manifest, kind, *place, emptied)
        removed_rows.update(removed)
        if kind is None:
            default = changed
        else:
            renewed[kind] = manifest.scenarios[kind].model_copy(update=changed)
    audiences, gone_of = _without_members(manifest, *place)
    if any(gone_of.values()):
        removed_rows[AUDIENCES] = sum(gone_of.values())
    changes = {
        **default,
        "files": {**files, **audiences},
        "scenarios": renewed,
        "audiences": _fewer_members(manifest, gone_of),
    }
    return manifest.model_copy(update=changes), dict(removed_rows)


def _without_kind(
    manifest: ListsManifest,
    kind: str | None,
    folder: Path,
    beside: Path,
    target: Target,
    emptied: Sequence[bool],
) -> tuple[tuple[DataFile, ...], dict[str, Any], dict[str, int]]:
    """Copy the lists of one kind without the users; the arguments are those of `rebuild_lists`.

    Args:
        kind: Name of the scenario; None: the default lists.

    Returns:
        The entries of the parts, what changes in the figures of the kind, and the removed rows.
    """
    key = lists_key(kind)
    left, rows = _without_rows(manifest.files[key], folder, beside, target, emptied)
    figures = manifest if kind is None else manifest.scenarios[kind]
    absent, gone = _without_absent(figures, folder, beside, target)
    users, length = len(target.numbers), manifest.config["score"]["list_length"]
    if isinstance(figures, ScenarioLists):
        users = len(_names(rows) | _names(gone))  # who has neither is not in the scenario
        length = figures.list_length
    removed = {key: rows.num_rows}
    if gone.num_rows:
        removed["users_without_lists" if kind is None else f"{key}.users_without_lists"] = (
            gone.num_rows
        )
    return left, {"absent": absent, **_lowered(figures, rows, gone, users, length)}, removed


def _names(rows: pa.Table) -> set[str]:
    return set(rows[USER_ID].to_pylist()) if rows.num_rows else set()


def _without_rows(
    files: Sequence[DataFile], folder: Path, beside: Path, target: Target, emptied: Sequence[bool]
) -> tuple[tuple[DataFile, ...], pa.Table]:
    """Copy parts of lists without the users; return the entries of what is left, and their rows.

    Args:
        files: The parts of one kind of lists.
        folder: As for `rebuild_lists`, like the other arguments.
        beside: Folder of the copies.
        target: The users.
        emptied: Parts that are removed.
    """
    if len(emptied) != len(files):
        emptied = [False] * len(files)  # done before: the dataset has fewer row groups, or none
    left: list[DataFile] = []
    removed: list[pa.Table] = []
    for file, is_emptied in zip(files, emptied, strict=True):
        rows = matching_rows(folder / file.path, target)
        removed.append(rows)
        if is_emptied:
            continue
        if not rows.num_rows:
            (beside / file.path).parent.mkdir(exist_ok=True)
            link(folder / file.path, beside / file.path)
            left.append(file)
            continue
        copy_without(folder / file.path, beside / file.path, target)
        left.append(describe_parquet(beside, beside / file.path))
    table = pa.concat_tables(removed, promote_options="default") if removed else pa.table({})
    return tuple(left), table


def _without_members(
    manifest: ListsManifest, folder: Path, beside: Path, target: Target
) -> tuple[dict[str, tuple[DataFile, ...]], dict[str, int]]:
    """Copy the lists of users for items without the users.

    The other users keep their positions, so positions have gaps.

    Returns:
        Their part of the manifest's files, and the number of removed rows by audience.
    """
    left: list[DataFile] = []
    removed = {}
    for file in manifest.files.get(AUDIENCES, ()):
        source, copy = folder / file.path, beside / file.path
        copy.parent.mkdir(exist_ok=True)
        removed[copy.stem] = int(matching_rows(source, target).num_rows)
        if removed[copy.stem]:
            copy_without(source, copy, target)
            left.append(describe_parquet(beside, copy))
        else:
            link(source, copy)
            left.append(file)
    return ({AUDIENCES: tuple(left)} if left else {}), removed


def _fewer_members(manifest: ListsManifest, gone: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Return the counts of the audiences without the removed rows."""
    return {
        name: {**counts, "users": counts["users"] - gone.get(name, 0)}
        for name, counts in manifest.audiences.items()
    }


def _without_absent(
    manifest: ListFigures, folder: Path, beside: Path, target: Target
) -> tuple[DataFile | None, pa.Table]:
    """Copy the table of users without a list, without the users; return its entry and their rows.

    The table is left out if nobody is left in it.
    """
    if manifest.absent is None:
        return None, pa.table({})
    source, copy = folder / manifest.absent.path, beside / manifest.absent.path
    gone = matching_rows(source, target)
    if not gone.num_rows:
        copy.parent.mkdir(exist_ok=True)
        link(source, copy)
        return manifest.absent, gone
    if copy_without(source, copy, target):
        return describe_parquet(beside, copy), gone
    copy.unlink()
    return None, gone


def _lowered(
    manifest: ListFigures, rows: pa.Table, absent: pa.Table, users: int, length: int
) -> dict[str, dict[str, int | None] | dict[str, int]]:
    """Return the counts of the manifest without the removed lists and users.

    The figures of the gates stay: they are those that the lists were published with.
    """
    gone = {**_count(rows, length, users), "users_without_lists": absent.num_rows}
    first = _first_rows(rows)
    if WHY_SHORT in rows.column_names:
        short = Counter(filter(None, first[WHY_SHORT].to_pylist()))
    else:  # lists of a release that stored no reasons, and counted missing lists as short
        short = Counter({_EXHAUSTED: gone["users"] - gone["full_lists"]})
    fallbacks = first[WHY_FALLBACK].to_pylist() if WHY_FALLBACK in rows.column_names else []
    missing = absent[WHY_ABSENT].to_pylist() if absent.num_rows else []
    counts = {
        name: None if count is None else count - gone.get(name, 0)
        for name, count in manifest.counts.items()
    }
    distinct, lists = counts.get("distinct_lists"), counts.get("model_lists")
    if distinct is not None and lists is not None:
        counts["distinct_lists"] = min(distinct, lists)  # no more than there are
    return {
        "counts": counts,
        "short_lists": _minus(manifest.short_lists, short),
        "fallbacks": _minus(manifest.fallbacks, Counter(filter(None, fallbacks))),
        "users_without_lists": _minus(manifest.users_without_lists, Counter(missing)),
        "channels": _minus(manifest.channels, _channels(rows)),
    }


def _channels(rows: pa.Table) -> Counter[str]:
    if CHANNELS not in rows.column_names:
        return Counter()
    return Counter(pc.list_flatten(rows[CHANNELS]).to_pylist())


def _minus(counts: Mapping[str, int], gone: Mapping[str, int]) -> dict[str, int]:
    left = {reason: count - gone.get(reason, 0) for reason, count in counts.items()}
    return {reason: count for reason, count in left.items() if count > 0}


def _first_rows(rows: pa.Table) -> pa.Table:
    """Return the first row of each user's list."""
    names = rows[USER_ID].to_pylist() if rows.num_rows else []
    first = [at for at, name in enumerate(names) if at == 0 or names[at - 1] != name]
    return rows.take(pa.array(first, pa.int64()))


def rebuild_model(
    bundle: Bundle,
    folder: Path,
    beside: Path,
    target: Target,
    vocabularies: Mapping[str, Vocabulary],
) -> tuple[Bundle, dict[str, int]]:
    """Write a model's files to a new folder, without the users.

    The users' rows in an embedding of users are zeroed, and their samples are removed from the
    card. All other weights stay; the bundle says that they learned from erased users.

    Args:
        bundle: Bundle of the model.
        folder: Folder of the model.
        beside: Folder in which its replacement is built.
        target: The users, with their numbers in the model's dataset.
        vocabularies: The vocabularies of the dataset after the erasure.

    Returns:
        The new bundle, and the numbers of zeroed rows and removed samples.
    """
    numbers, samples, cards = sorted(target.numbers), 0, []
    for file in bundle.files.get("card", ()):
        path = beside / file.path
        samples += copy_without_samples(folder / file.path, path, target.names)
        changed = {"bytes": path.stat().st_size, "sha256": hash_file(path)}
        cards.append(file.model_copy(update=changed))
    zeroed, entries = 0, []
    for file in bundle.files["model"]:
        path = beside / file.path
        if path.suffix == ".safetensors" and _find(folder / file.path) is not None:
            shutil.copyfile(folder / file.path, path)
            zeroed += zero_rows(path, numbers)
            entries.append(file.model_copy(update={"sha256": hash_file(path)}))
        else:
            link(folder / file.path, path)
            entries.append(file)
    ours = {**bundle.vocabularies, **{k: v for k, v in vocabularies.items() if k == "user"}}
    files = {"model": tuple(entries), **({"card": tuple(cards)} if cards else {})}
    renewed: dict[str, object] = {"files": files, "vocabularies": ours}
    if numbers:
        renewed["learned_from_erased"] = "yes"
    return bundle.model_copy(update=renewed), {"user_embedding": zeroed, "samples": samples}


def zero_rows(path: Path, numbers: Sequence[int]) -> int:
    """Zero rows of the embedding of users in a safetensors file; return how many."""
    found = _find(path)
    if found is None:
        return 0
    start, row_bytes, num_rows = found
    rows = [number for number in numbers if number < num_rows]
    with path.open("r+b") as stream:
        for row in rows:
            stream.seek(start + row * row_bytes)
            stream.write(bytes(row_bytes))
    return len(rows)


def _find(path: Path) -> tuple[int, int, int] | None:
    """Return start, bytes per row and number of rows of the embedding of users, or None.

    Source of the layout: the safetensors format, a length, a JSON header, then the numbers.
    """
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(_HEADER_LENGTH_BYTES), "little")
        header = json.loads(stream.read(length))
    for name, tensor in header.items():
        if name.endswith(USER_EMBEDDING):
            begin, end = tensor["data_offsets"]
            rows = tensor["shape"][0]
            return _HEADER_LENGTH_BYTES + length + begin, (end - begin) // rows, rows
    return None


def _count(rows: pa.Table, list_length: int, users: int) -> dict[str, int]:
    """Return by how much the removed rows lower each count of the manifest."""
    if not rows.num_rows:
        return {"users": users, "full_lists": 0}
    lengths = Counter(rows[USER_ID].to_pylist())
    sources = Counter(_first_rows(rows)[SOURCE].to_pylist())
    return {
        "users": users,
        "lists": len(lengths),
        "rows": rows.num_rows,
        "model_lists": sources[SOURCE_MODEL],
        "model_rows": rows[SOURCE].to_pylist().count(SOURCE_MODEL),
        "fallback_lists": sources[SOURCE_FALLBACK],
        "full_lists": sum(n == list_length for n in lengths.values()),
    }
