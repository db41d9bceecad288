"""Rebuild lists and models without some users."""

import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from conf.contract import SOURCE, USER_ID, Bundle, DataFile, ListsManifest, Vocabulary
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
    files = manifest.files["lists"]
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
            link(folder / file.path, beside / file.path)
            left.append(file)
            continue
        copy_without(folder / file.path, beside / file.path, target)
        left.append(describe_parquet(beside, beside / file.path))
    table = pa.concat_tables(removed) if removed else pa.table({})
    length = manifest.config["score"]["list_length"]
    gone = _count(table, length, len(target.numbers))
    short = gone["users"] - gone["full_lists"]
    renewed = manifest.model_copy(
        update={
            "files": {"lists": tuple(left)},
            "counts": {name: count - gone.get(name, 0) for name, count in manifest.counts.items()},
            "short_lists": {
                reason: count - short if reason == _EXHAUSTED else count
                for reason, count in manifest.short_lists.items()
                if reason != _EXHAUSTED or count > short
            },
        }
    )
    return renewed, {"lists": table.num_rows}


def rebuild_model(
    bundle: Bundle,
    folder: Path,
    beside: Path,
    target: Target,
    vocabularies: Mapping[str, Vocabulary],
) -> tuple[Bundle, dict[str, int]]:
    """Write a model's files to a new folder, without the users.

    The users' rows in an embedding of users are zeroed, and their samples are removed from the
    card.

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
    renewed = {"files": files, "vocabularies": ours}
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
    source = dict(zip(rows[USER_ID].to_pylist(), rows[SOURCE].to_pylist(), strict=True))
    sources, full = Counter(source.values()), sum(n == list_length for n in lengths.values())
    return {
        "users": users,
        "lists": len(lengths),
        "rows": rows.num_rows,
        "model_lists": sources["model"],
        "fallback_lists": sources["fallback"],
        "full_lists": full,
    }
