"""Erase users from a workspace: datasets, models, lists, identities, leftovers of killed runs.

If it is killed, running it again with the same users continues the erasure. A dataset is changed
after everything that was made from it, because it holds the users' numbers.
"""

import logging
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import BaseModel

from conf.contract import (
    CACHE_NAME,
    MANIFEST_NAME,
    USER_ID,
    USER_IDX,
    Bundle,
    ListsManifest,
    Manifest,
)
from conf.erasure.dataset import rebuild_dataset, renewed_vocabularies
from conf.erasure.forms import all_forms, plain_form
from conf.erasure.lists_and_models import rebuild_lists, rebuild_model
from conf.erasure.receipts import Journal
from conf.erasure.rows import (
    Target,
    emptied_groups,
    matching_rows,
    replace_without,
    source_files,
)
from conf.erasure.targets import EraseDelivered, erase_targets, give_up
from conf.errors import ConfigError
from conf.pages.samples import samples_of
from conf.privacy.delivered import read_delivered
from conf.privacy.erased import add_erased, read_erased
from conf.privacy.file_names import erased_names
from conf.privacy.identities import IDENTITIES, labels_of
from conf.privacy.keys import Keys, require_keys
from conf.privacy.learned import WITHOUT_THEM, note_learned, told_learned
from conf.privacy.protection import require_own_key_id
from conf.privacy.sealing import erased_hash, pseudonym, trimmed
from conf.settings.config import Config
from conf.settings.publishing.places import places_of
from conf.workspace.folders import listed, manifests_of, remove, tables_in
from conf.workspace.json_files import Record, write_json
from conf.workspace.parquet import open_parquet
from conf.workspace.swap import folder_beside, name_beside, swap
from conf.workspace.versions import WORK_OWNER, read_manifest, require_files

log = logging.getLogger(__name__)
_VERSION = re.compile(r"^[\w-]+-[\d-]*(undated)?-[0-9a-f]{12}$")


def run(
    config: Config,
    *,
    users: Path,
    erase_delivered: EraseDelivered | None = None,
    gone: Sequence[str] = (),
) -> dict[str, Any]:
    """Erase the users of a file with one raw id per line; return what was removed where.

    Args:
        config: The run's configuration.
        users: The file.
        erase_delivered: Removes users from the targets that lists were delivered to; None: they
            are left.
        gone: Names of targets that are gone for good, so that no erasure has to reach them.

    Raises:
        ConfigError: When there is no key, the file names nobody, or `gone` a target that is there.
        VersionError: When it is not known where lists were delivered to, or a file is damaged.
        HeadraceError: When a target was not reached; the erasure stays open until it is run again.
    """
    keys = require_keys(config.privacy, "erasing users")
    written = read_users(users)
    workspace = Path(config.run.output)
    read_erased(workspace, keys)  # refuses another key than before
    require_own_key_id(workspace, keys)
    read_delivered(workspace)  # refused if it is damaged, before anything is erased
    # One hash a user, the same on a second run, when the workspace has fewer forms of the id.
    people = frozenset(erased_hash(keys.erased, plain_form(raw_id)) for raw_id in written)
    journal = Journal(workspace, people)
    give_up(config, journal, gone)  # a wrong name is refused before anything is opened
    journal.begin()
    if erase_delivered is not None:
        # Before anything is erased, as a kill may follow.
        journal.add_targets(places_of(config.deliver))
    _remove_leavings(workspace, config.ray.storage)
    raw_ids = all_forms(workspace, written)
    journal.add_labels(_known_labels(workspace, raw_ids, keys))
    add_erased(workspace, keys, (erased_hash(keys.erased, raw_id) for raw_id in raw_ids))
    for dataset in _versions(workspace, "datasets"):
        _erase_dataset(workspace, dataset, raw_ids, keys, journal)
    labels = frozenset(_labels(keys, keys.tenant, raw_ids))
    target = Target(raw_ids, raw_ids | labels, frozenset(), _ciphers(keys))
    _erase_orphans(workspace, target, journal)
    _erase_tables(workspace, target, journal)
    journal.models = dict(note_learned(workspace))
    erase_targets(config, target.names | journal.labels, journal, erase_delivered)
    receipt = journal.close(keys)
    _tell(journal)
    return {**journal.result("done"), "receipt": str(receipt)}


def _tell(journal: Journal) -> None:
    """Log how many users were found, and what learned from them."""
    log.info("erase: %d users requested, %d found", len(journal.users), len(journal.found))
    if not journal.found:
        log.warning(
            "erase: no dataset here has any of these users; the file has one raw id on each line, "
            "as in the log, without a header or quotes. Who was erased before is not found again"
        )
    for model, learned in journal.models.items():
        log.warning("erase: model %s %s; %s", model, told_learned(learned), WITHOUT_THEM)


def read_users(path: Path) -> frozenset[str]:
    """Return the raw ids in a file, as they are written there.

    Raises:
        ConfigError: When the file cannot be read or names nobody.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ConfigError(f"--users={str(path)!r} is no text in UTF-8; save it as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"--users={str(path)!r} cannot be read: {error.strerror}") from error
    found = frozenset(line.removesuffix("\r") for line in lines if trimmed(line))
    if not found:
        raise ConfigError(f"--users={str(path)!r} names nobody; write one raw id per line")
    return found


def _erase_dataset(
    workspace: Path, dataset: str, raw_ids: frozenset[str], keys: Keys, journal: Journal
) -> None:
    """Erase users from everything that was made from a dataset, then from the dataset."""
    manifest = _sound(workspace, "datasets", dataset, Manifest)
    folder = workspace / "datasets" / dataset
    target, found = _target(workspace, manifest, raw_ids, keys)
    journal.add_found({erased_hash(keys.erased, plain_form(raw_id)) for raw_id in found})
    groups = [
        is_empty
        for file in manifest.files["users"]
        for is_empty in emptied_groups(folder / file.path, target)
    ]
    for version in _versions(workspace, "lists"):
        lists = _sound(workspace, "lists", version, ListsManifest)
        if lists.dataset_id == dataset:
            _erase_lists(workspace, lists, target, groups, journal)
    for version in _versions(workspace, "models") if target.numbers else ():
        bundle = _sound(workspace, "models", version, Bundle)
        if bundle.dataset_id == dataset:
            vocabularies = renewed_vocabularies(manifest.vocabularies, keys)
            model = workspace / "models" / version
            renewed, gone = rebuild_model(bundle, model, folder_beside(model), target, vocabularies)
            _put(workspace, "models", renewed, gone, journal)
    beside = folder_beside(folder)
    changed, rows = rebuild_dataset(manifest, folder, beside, target, keys)
    if any(rows.values()):
        journal.add_anonymity(f"datasets/{dataset}", changed.privacy)
        _put(workspace, "datasets", changed, rows, journal)
    else:
        shutil.rmtree(beside)


def _erase_lists(
    workspace: Path, lists: ListsManifest, target: Target, groups: Sequence[bool], journal: Journal
) -> None:
    folder = workspace / "lists" / lists.id
    beside = folder_beside(folder)
    renewed, rows = rebuild_lists(lists, folder, beside, target, groups)
    if any(rows.values()) or len(renewed.files["lists"]) < len(lists.files["lists"]):
        _put(workspace, "lists", renewed, rows, journal)
    else:
        shutil.rmtree(beside)


def _put(
    workspace: Path, kind: str, manifest: BaseModel, rows: dict[str, int], journal: Journal
) -> None:
    """Note what is removed, write the new folder's manifest, and replace the old folder."""
    version = str(getattr(manifest, "id"))  # noqa: B009
    folder = workspace / kind / version
    journal.add(f"{kind}/{version}", rows)
    write_json(name_beside(folder) / MANIFEST_NAME[kind], manifest.model_dump(mode="json"))
    swap(folder)


def _target(
    workspace: Path, manifest: Manifest, raw_ids: frozenset[str], keys: Keys
) -> tuple[Target, set[str]]:
    """Return the users as a dataset knows them, and the raw ids of those it contains."""
    tenant = manifest.privacy.tenant if manifest.privacy is not None else keys.tenant
    names = {raw_id: raw_id for raw_id in raw_ids}
    names |= _labels(keys, tenant, raw_ids)
    names |= {label: raw for raw, label in labels_of(workspace, manifest.id, raw_ids).items()}
    target = Target(raw_ids, frozenset(names), frozenset(), _ciphers(keys))
    numbers: set[int] = set()
    found: set[str] = set()
    for file in manifest.files["users"]:
        rows = matching_rows(workspace / "datasets" / manifest.id / file.path, target)
        numbers.update(rows[USER_IDX].to_pylist())
        found.update(names[name] for name in rows[USER_ID].to_pylist())
    return replace(target, numbers=frozenset(numbers)), found


def _labels(keys: Keys, tenant: str, raw_ids: frozenset[str]) -> dict[str, str]:
    """Return the raw ids by the labels that the current and the former keys make of them."""
    return {
        pseudonym(key.label, tenant, "user", raw_id): raw_id
        for key in keys.all()
        for raw_id in raw_ids
    }


def _known_labels(workspace: Path, raw_ids: frozenset[str], keys: Keys) -> set[str]:
    """Return the labels that users have in any dataset, or had by a table of identities."""
    found = set(_labels(keys, keys.tenant, raw_ids))
    for dataset in _versions(workspace, "datasets"):
        privacy = read_manifest(workspace, "datasets", dataset, Manifest).privacy
        if privacy is not None and privacy.tenant != keys.tenant:
            found |= set(_labels(keys, privacy.tenant, raw_ids))
    for folder in listed(workspace / IDENTITIES):
        found |= set(labels_of(workspace, folder.name, raw_ids).values())
    return found


def _ciphers(keys: Keys) -> tuple[AESGCM, ...]:
    return tuple(key.cipher() for key in keys.all())


def _erase_orphans(workspace: Path, target: Target, journal: Journal) -> None:
    """Erase users from lists and model cards whose dataset no longer exists."""
    datasets = _versions(workspace, "datasets")
    for version in _versions(workspace, "lists"):
        lists = _sound(workspace, "lists", version, ListsManifest)
        if lists.dataset_id not in datasets:
            theirs = _with_labels(workspace, lists.dataset_id, target)
            _erase_lists(workspace, lists, theirs, (), journal)
    for version in _versions(workspace, "models"):
        bundle = _sound(workspace, "models", version, Bundle)
        model = workspace / "models" / version
        if bundle.dataset_id in datasets:
            continue
        theirs = _with_labels(workspace, bundle.dataset_id, target)
        cards = [model / file.path for file in bundle.files.get("card", ())]
        if any(samples_of(card, theirs.names) for card in cards):
            renewed, gone = rebuild_model(bundle, model, folder_beside(model), theirs, {})
            _put(workspace, "models", renewed, gone, journal)


def _with_labels(workspace: Path, dataset: str, target: Target) -> Target:
    """Return the target with the labels that a dataset's table of identities still has."""
    labels = labels_of(workspace, dataset, target.raw_ids).values()
    return replace(target, names=target.names | frozenset(labels))


def _erase_tables(workspace: Path, target: Target, journal: Journal) -> None:
    """Erase users from identities, and from the quarantine of refused inputs."""
    folders = [*listed(workspace / IDENTITIES), *listed(workspace / "datasets", "refused-*")]
    for folder in sorted(folders):
        name = folder.relative_to(workspace).as_posix()
        paths = tables_in(folder)
        names = {file for path in paths for file in source_files(path)}
        theirs = replace(target, renamed=erased_names(names, target.is_named_in))
        rows = sum(matching_rows(path, target).num_rows for path in paths)
        if rows:
            journal.add(name, {"rows": rows})
        for path in paths:
            replace_without(path, theirs)


def _sound(workspace: Path, kind: str, version: str, model: type[Record]) -> Record:
    """Return a version's manifest after checking the content of all its files.

    What an erasure writes gets new hashes, which would vouch for a file that was damaged before.
    """
    manifest = read_manifest(workspace, kind, version, model)
    require_files(workspace / kind / version, manifest, by_content=True)
    return manifest


def _versions(workspace: Path, kind: str) -> list[str]:
    """Return the ids of all committed versions."""
    return [path.parent.name for path in manifests_of(workspace, kind)]


def _remove_leavings(workspace: Path, storage: str | None) -> None:
    """Remove the work of interrupted runs, also in `ray.storage`; a later run makes it again."""
    works = [] if storage is None else listed(Path(storage), ".work-*")
    for owner in (work / WORK_OWNER for work in works):
        is_plain = owner.is_file() and not owner.is_symlink()
        if is_plain and owner.read_text(errors="replace") == str(workspace.resolve()):
            remove(owner.parent)
    for kind, manifest in MANIFEST_NAME.items():
        for work in listed(workspace / kind, ".work-*"):
            remove(work)
        for version in listed(workspace / kind, "[!.]*"):
            if _VERSION.match(version.name) and not (version / manifest).is_file():
                remove(version)
    for folder in listed(workspace / IDENTITIES):
        for path in listed(folder, ".*.new"):
            path.unlink()
    for path in listed(workspace, f"{CACHE_NAME}*"):
        path.unlink()  # a cache of an older release has the paths of files
    _remove_cut_off(workspace)


def _remove_cut_off(workspace: Path) -> None:
    """Remove tables that a killed run did not finish: nobody can say whose rows they have."""
    datasets = _versions(workspace, "datasets")
    folders = [*listed(workspace / "datasets", "refused-*"), *listed(workspace / IDENTITIES)]
    for path in sorted(path for folder in folders for path in tables_in(folder)):
        if path.parent.name in datasets:
            continue
        try:
            open_parquet(path).close()
        except (pa.ArrowException, OSError) as error:
            log.warning("erase: removing %s, which cannot be read: %s", path, error)
            path.unlink()
