"""Content hashes of input files and the request keys made of them.

The same inputs and the same configuration give the same key, on any machine, in any folder.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conf.contract import CONTRACT_VERSION
from conf.errors import InputError
from conf.input_schema import Source
from conf.protection import request_part
from conf.reachable import is_folder, regular_files, require_reachable, unreadable
from conf.schema import Config

CACHE_NAME = ".fingerprints.json"
UNKNOWN_BYTES = 1 << 62
_SUFFIXES = ("", ".gz", ".bz2", ".zst")  # tried in turn behind a glob
_REASONS = 2  # another number when reasons are worked out otherwise: lists are made anew then
_BOOKKEEPING = ("_SUCCESS", "_metadata", "_common_metadata")
_IS_FOLDER = ", which is a folder, so name the files in it as FOLDER/*,"
_CHUNK_BYTES = 1 << 22


@dataclass(frozen=True)
class InputFile:
    """One file of the raw input."""

    path: Path
    """Where it lies; of a table its name."""
    name: str
    """Its name relative to `input.root`, as in the ledger."""
    bytes: int
    """Its size; of a table UNKNOWN_BYTES."""
    modified_at: float
    """Seconds since 1970; of a table 0."""
    sha256: str
    """Of its content; of a table's name and `table_version`."""


def canonical_hash(value: Any) -> str:
    """Return the SHA-256 of a value's JSON with sorted keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def input_sources(config: Config) -> dict[str, Source]:
    """Return the configured logs (as `events.NAME`) and tables of the raw input by name."""
    logs = {f"events.{name}": source for name, source in config.input.events.items()}
    tables = {"items": config.input.items, "users": config.input.users}
    return {**logs, **{name: table for name, table in tables.items() if table is not None}}


def fingerprint_inputs(config: Config) -> dict[str, tuple[InputFile, ...]]:
    """Find and hash the files of every input.

    Hashes are kept in the workspace by path, size and modification time, so that an unchanged
    file is read once only.

    Raises:
        InputError: When a path matches no file.
    """
    root = Path(config.input.root)
    if not is_folder(root):
        raise InputError(
            f"input.root={str(root)!r} is no folder that can be opened; set "
            "input.root=FOLDER to the folder that holds the input files"
        )
    sources = input_sources(config)
    found = {
        name: _matching(root, name, source)
        for name, source in sources.items()
        if source.format != "table"
    }
    cache_path = Path(config.run.output) / CACHE_NAME
    known = _read_cache(cache_path)
    fresh: dict[str, str] = {}
    inputs = {
        name: tuple(_input_file(root, path, known, fresh) for path in paths)
        for name, paths in found.items()
    }
    if fresh != known:
        _write_cache(cache_path, fresh)
    return {name: inputs.get(name) or (_table(source),) for name, source in sources.items()}


def dataset_request(
    config: Config,
    inputs: Mapping[str, Sequence[InputFile]],
    logical_date: str | None,
    base: str | None = None,
) -> str:
    """Return the key of a dataset: what it is made from and how, and what it goes on from."""
    section = config.model_dump(mode="json", include={"input", "etl"})
    section["input"].pop("root")
    if not section["etl"]["history_features"]:
        del section["etl"]["history_features"]  # without any, datasets are those of before the key
    logs, tables = section["input"]["events"], (section["input"][n] for n in ("items", "users"))
    for source in filter(None, (*logs.values(), *tables)):
        source["paths"] = sorted(set(source["paths"]))  # files are taken in their names' order
    files = {name: sorted((f.name, f.sha256) for f in found) for name, found in inputs.items()}
    return canonical_hash(
        [
            CONTRACT_VERSION,
            "dataset",
            config.run.name,
            config.run.seed,
            section["input"],
            json.dumps(section["etl"]),  # as it stands: types are numbered in their order
            files,
            config.train.max_workers,
            logical_date,
            *request_part(config),
            *([] if base is None else [base]),
        ]
    )


def model_request(config: Config, dataset_id: str) -> str:
    """Return the key of a model; whether seen items are ranked has a part in what it is."""
    section = config.train.model_dump(mode="json")
    ranked = [] if config.score.drop_seen else ["seen items kept"]
    parts = [CONTRACT_VERSION, "model", config.run.seed, section, dataset_id, *ranked]
    return canonical_hash(parts)


def search_request(config: Config, dataset_id: str) -> str:
    """Return the key of a search for settings; one may go on with more trials, or more time."""
    tune = config.tune.model_dump(mode="json", exclude={"trials", "budget_seconds"})
    return canonical_hash([model_request(config, dataset_id), "search", tune])


def lists_request(config: Config, dataset_id: str, model_id: str) -> str:
    """Return the key of published lists."""
    section = config.score.model_dump(mode="json")
    for resource in ("workers", "cpus_per_worker", "gpus_per_worker"):
        section.pop(resource)
    return canonical_hash([CONTRACT_VERSION, _REASONS, "lists", section, dataset_id, model_id])


def _matching(root: Path, name: str, source: Source) -> list[Path]:
    paths: set[Path] = set()
    for pattern in source.paths:
        tried = (_glob(root, pattern + suffix) for suffix in _SUFFIXES)
        matches = next(filter(None, tried), [])
        if not matches:
            raise InputError(
                f"input.{name}: no file matches {pattern!r}"
                f"{_IS_FOLDER if is_folder(root / pattern) else ''} (nor with "
                f"{', '.join(_SUFFIXES[1:])} behind it) in {root}; "
                f"correct input.root or input.{name}.paths"
            )
        paths.update(matches)
    return sorted(paths)


def _glob(root: Path, pattern: str) -> list[Path]:
    if Path(pattern).is_absolute():
        root, pattern = Path(Path(pattern).anchor), str(Path(pattern).relative_to("/"))
    require_reachable(root, Path(pattern).parts)
    found = [path for path in root.glob(pattern) if not _is_bookkeeping(path)]
    return regular_files(found)


def _is_bookkeeping(path: Path) -> bool:
    """Return whether a file is one that Spark leaves beside those that it writes."""
    return path.name in _BOOKKEEPING or (path.name.startswith(".") and path.suffix == ".crc")


def _table(source: Source) -> InputFile:
    """Return what stands for a table of the catalogue among the files."""
    assert source.table is not None  # as the format is 'table'
    made_of = canonical_hash([source.table, source.table_version])
    return InputFile(Path(source.table), source.table, UNKNOWN_BYTES, 0.0, made_of)


def _input_file(root: Path, path: Path, known: dict[str, str], fresh: dict[str, str]) -> InputFile:
    try:
        stat = path.stat()
        key = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"
        digest = known.get(key) or hash_file(path)
    except OSError as error:
        raise unreadable(path, error) from error
    fresh[key] = digest
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
    return InputFile(path, name, stat.st_size, stat.st_mtime, digest)


def _read_cache(path: Path) -> dict[str, str]:
    try:
        cache = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}  # a cache only: a missing or damaged one costs time, not truth
    return cache if isinstance(cache, dict) else {}


def _write_cache(path: Path, cache: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(cache))
    temporary.replace(path)
