"""Rebuild a dataset without some users: the rows, the manifest, the ledger."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from conf.contract import (
    HISTORY_ITEMS,
    NUM_EVENTS,
    USER_ID,
    USER_IDX,
    DataFile,
    Manifest,
    PrivacyReport,
    Vocabulary,
)
from conf.erasure.anonymity import keep_promises
from conf.erasure.encoders import ENCODERS, blank_vocabularies, drop_groups
from conf.erasure.rows import Target, copy_without, matching_rows, opened
from conf.ledger import InputLedger
from conf.privacy.file_names import erased_names
from conf.privacy.keys import Keys, sign
from conf.workspace.folders import close_to_others
from conf.workspace.hashes import with_content
from conf.workspace.instants import num_tied
from conf.workspace.parquet import describe_parquet
from conf.workspace.seen_targets import num_seen
from conf.workspace.swap import link

_ERASED, _QUARANTINE = "erased", "quarantine"
_SHOWN = "num_shown"
_NO_FEATURES = {USER_IDX, USER_ID, NUM_EVENTS, _SHOWN}
_UNKNOWN = "sessions"  # the rows that are left do not show whose sessions they were
_COUNTED = {"users": "users", "valid": "valid", "test": "test", "train_rows": "train",
            "quarantined": "quarantine"}  # fmt: skip


def rebuild_dataset(
    manifest: Manifest, folder: Path, beside: Path, target: Target, keys: Keys
) -> tuple[Manifest, dict[str, int]]:
    """Write all files of a dataset except the manifest to a new folder, without the users' rows.

    Args:
        manifest: Manifest of the dataset.
        folder: Folder of the dataset.
        beside: Folder in which its replacement is built.
        target: The users.
        keys: Keys of the workspace.

    Returns:
        The new manifest, and the number of removed rows, encoder values, groups of fills, pages
        and emptied combinations of quasi-identifiers, by part. The old manifest and an empty
        mapping if no row belongs to the users and all combinations are frequent enough.
    """
    names = {name for ledger in manifest.ledger.values() for name in ledger.files}
    target = replace(target, renamed=erased_names(names, target.is_named_in))
    files, removed = _copy_parts(manifest, folder, beside, target)
    kept = keep_promises(manifest, beside, files)
    files = kept.files
    encoders, values = blank_vocabularies(manifest, beside, files)
    if encoders:
        files[ENCODERS] = encoders
    fills, groups = drop_groups(manifest, beside, files)
    pages = _take_others(manifest, folder, beside, target)
    report, num_names = _without_names(kept.report, target)
    renewed = manifest.model_copy(
        update={
            "files": files,
            "counts": _counts(manifest.counts, removed),
            "ledger": _ledgers(manifest.ledger, removed, target.renamed),
            "fills": fills,
            "vocabularies": renewed_vocabularies(manifest.vocabularies, keys),
            "privacy": report,
        }
    )
    rows = {part: table.num_rows for part, table in removed.items()}
    rows["file_names"] = len(target.renamed) + num_names
    if not any(rows.values()) and not kept.emptied:
        return manifest, {}
    others = {"encoders": values, "fills": groups, "pages": pages, "combinations": kept.emptied}
    return with_content(renewed), {**rows, **others}


def _copy_parts(
    manifest: Manifest, folder: Path, beside: Path, target: Target
) -> tuple[dict[str, tuple[DataFile, ...]], dict[str, pa.Table]]:
    """Return the new entries of the files of all parts, and the rows that are left out of them."""
    files: dict[str, tuple[DataFile, ...]] = {}
    removed: dict[str, pa.Table] = {}
    for part, members in manifest.files.items():
        tables = [_matching(folder / file.path, target) for file in members]
        removed[part] = pa.concat_tables(tables) if tables else pa.table({})
        has_new_names = part == _QUARANTINE and bool(target.renamed)
        changed = [
            _copy(folder, beside, file, target)
            if rows.num_rows or has_new_names
            else _keep(folder, beside, file)
            for file, rows in zip(members, tables, strict=True)
        ]
        files[part] = tuple(file for file in changed if file is not None)
    return files, removed


def _matching(path: Path, target: Target) -> pa.Table:
    # Encoders are JSON files with values, not rows.
    return matching_rows(path, target) if path.suffix == ".parquet" else pa.table({})


def renewed_vocabularies(
    vocabularies: Mapping[str, Vocabulary], keys: Keys
) -> dict[str, Vocabulary]:
    """Return the vocabularies with a new fingerprint of the users'.

    From the old one a guess at an erased id could be confirmed. The other users keep their numbers,
    so the size stays too.
    """
    found = dict(vocabularies)
    if "user" in found:
        users = found["user"]
        fingerprint = sign(keys, f"vocabulary {users.fingerprint}".encode())
        found["user"] = users.model_copy(update={"fingerprint": fingerprint})
    return found


def _keep(folder: Path, beside: Path, file: DataFile) -> DataFile:
    link(folder / file.path, beside / file.path)
    return file


def _copy(folder: Path, beside: Path, file: DataFile, target: Target) -> DataFile | None:
    """Return the new entry of a file, None if no row of it is left."""
    path = beside / file.path
    if copy_without(folder / file.path, path, target):
        return describe_parquet(beside, path)
    path.unlink()
    return None


def _take_others(manifest: Manifest, folder: Path, beside: Path, target: Target) -> int:
    """Copy the files that belong to no part, and return how many pages are left out.

    A page shows figures of the removed rows, so it is removed too.
    """
    named = {file.path for members in manifest.files.values() for file in members}
    pages = 0
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or name in named or name.startswith("manifest.json"):
            continue
        if path.suffix == ".html":
            pages += 1
        elif path.suffix == ".parquet":
            copy_without(path, beside / name, target)
        else:
            link(path, beside / name)
    for part in manifest.files:
        (beside / part).mkdir(exist_ok=True)
    close_to_others(beside / _QUARANTINE)
    return pages


def _counts(counts: Mapping[str, int], removed: Mapping[str, pa.Table]) -> dict[str, int]:
    rows = {name: removed[part].num_rows for name, part in _COUNTED.items() if part in removed}
    rows["events"] = num_events(removed.get("histories"))
    rows["train_targets"] = num_events(removed.get("train")) - rows.get("train_rows", 0)
    rows["shown"] = num_shown(removed.get("users"))
    rows["tied_events"] = num_tied(removed.get("histories"))
    rows["test_seen"] = num_seen(removed.get("test"))
    return {name: count - rows.get(name, 0) for name, count in counts.items() if name != _UNKNOWN}


def num_events(histories: pa.Table | None) -> int:
    """Return the number of events in the histories."""
    if histories is None or HISTORY_ITEMS not in histories.schema.names:
        return 0
    return int(pc.sum(pc.list_value_length(histories[HISTORY_ITEMS]), min_count=0).as_py())


def num_shown(users: pa.Table | None) -> int:
    """Return the number of events that only showed the users an item; 0 if not counted."""
    if users is None or _SHOWN not in users.schema.names:
        return 0
    return int(pc.sum(users[_SHOWN], min_count=0).as_py())


def _ledgers(
    ledgers: Mapping[str, InputLedger],
    removed: Mapping[str, pa.Table],
    renamed: Mapping[str, str],
) -> dict[str, InputLedger]:
    """Return the ledgers with the users' rows counted as dropped, so the sums still balance.

    The accounts of single files stay as they were: a history does not show which file its events
    came from. In the users' table, rows without any feature are not counted.
    """
    events = num_events(removed.get("histories")) + num_shown(removed.get("users"))
    kept = {"events": events, "users": _with_features(removed)}
    bad: dict[str, Counter[str]] = {name: Counter() for name in ledgers}
    quarantine = removed.get("quarantine", pa.table({}))
    if quarantine.num_rows:
        columns = (quarantine[name].to_pylist() for name in ("input", "reason"))
        for name, reason in zip(*columns, strict=True):
            bad[name][reason] += 1
    # How tables fit the log was counted with these users, and cannot be counted again.
    return {
        name: _with_names(
            _without(ledger, min(kept.get(name, 0), ledger.rows_kept), bad[name]), renamed
        ).model_copy(update={"match": None})
        for name, ledger in ledgers.items()
    }


def _with_names(ledger: InputLedger, renamed: Mapping[str, str]) -> InputLedger:
    """Return the ledger with new names of files, also in its warnings."""
    warnings = ledger.warnings
    for name in sorted(renamed, key=len, reverse=True):
        warnings = tuple(text.replace(name, renamed[name]) for text in warnings)
    files = {renamed.get(name, name): account for name, account in ledger.files.items()}
    return ledger.model_copy(update={"files": files, "warnings": warnings})


def _without_names(
    report: PrivacyReport | None, target: Target
) -> tuple[PrivacyReport | None, int]:
    """Return the report without the encrypted names that hold an id, and how many these are."""
    if report is None:
        return None, 0
    left = {
        hidden: sealed
        for hidden, sealed in report.file_names.items()
        if not target.is_named_in(opened(sealed, target))
    }
    gone = len(report.file_names) - len(left)
    return report.model_copy(update={"file_names": left}), gone


def _without(ledger: InputLedger, kept: int, bad: Counter[str]) -> InputLedger:
    gone = kept + bad.total()
    if gone == 0:
        return ledger
    left = {reason: rows - bad[reason] for reason, rows in ledger.quarantined.items()}
    return ledger.model_copy(
        update={
            "rows_kept": ledger.rows_kept - kept,
            "dropped": {**ledger.dropped, _ERASED: ledger.dropped.get(_ERASED, 0) + gone},
            "quarantined": {reason: rows for reason, rows in left.items() if rows},
        }
    )


def _with_features(removed: Mapping[str, pa.Table]) -> int:
    """Return how many rows of users/ hold a value from the users' table."""
    users = removed.get("users", pa.table({}))
    features = [users[name] for name in users.schema.names if name not in _NO_FEATURES]
    if not users.num_rows or not features:
        return 0
    told = [column.is_valid().to_pylist() for column in features]
    return sum(any(row) for row in zip(*told, strict=True))
