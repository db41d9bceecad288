"""What the workspace says of published lists: versions, their data, the fields of their users.

Legend of shapes: U users of the log.
"""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from conf.contract import ITEM_ID, MANIFEST_NAME, USER_ID, ListsManifest, Manifest
from conf.errors import ConfigError, VersionError
from conf.privacy.log_ids import Kind
from conf.workspace.folders import manifests_of
from conf.workspace.instants import DAY, first_instant, newest_instant
from conf.workspace.json_files import is_there
from conf.workspace.parquet import read_columns
from conf.workspace.pointers import read_pointer
from conf.workspace.publications import publications
from conf.workspace.versions import UNDATED, read_manifest
from serving.outcome.joining import Codes
from serving.outcome.policy import OPTION
from serving.outcome.timeline import Stretch, stretches_of

MOST_SEGMENTS = 100
_NO_VALUE = "(none)"


def published(workspace: Path) -> tuple[ListsManifest, list[Stretch]]:
    """Return the current lists, and the stretches between publications, the oldest first.

    Raises:
        VersionError: When nothing is published, or the pointer or the lists are damaged, or the
            pointer does not say what was published when.
    """
    pointer = read_pointer(workspace, "lists")
    if pointer is None:
        raise VersionError(
            f"{workspace / 'lists'} has no current version; run headrace score first"
        )
    history = stretches_of(publications(pointer))
    if not history:
        raise VersionError(
            f"{workspace / 'lists' / 'CURRENT.json'} does not say what was published when: an "
            "earlier release wrote it; publish lists with this release, and give later events"
        )
    return read_manifest(workspace, "lists", pointer["id"], ListsManifest), history


def policy_version(workspace: Path, version: str) -> ListsManifest:
    """Return the lists of `--policy`.

    Args:
        workspace: Folder of the workspace.
        version: The text of the option.

    Raises:
        ConfigError: When it is no version of lists.
        VersionError: When their manifest is damaged.
    """
    if (
        not version
        or Path(version).name != version
        or not is_there(workspace / "lists" / version / MANIFEST_NAME["lists"])
    ):
        there = [path.parent.name for path in manifests_of(workspace, "lists")]
        raise ConfigError(
            f"{OPTION}={version!r} is no version of lists; there are "
            f"{', '.join(there[-10:]) or 'none'}"
        )
    return read_manifest(workspace, "lists", version, ListsManifest)


def known_ids(workspace: Path, dataset: Manifest) -> dict[Kind, pa.Array]:
    """Return the ids of the dataset's users and items, by kind; items in the order of numbers.

    Raises:
        VersionError: When a file is damaged, or gone.
    """
    found: dict[Kind, pa.Array] = {}
    folder = workspace / "datasets" / dataset.id
    kinds: tuple[tuple[Kind, str, str], ...] = (
        ("user", "users", USER_ID), ("item", "items", ITEM_ID),
    )  # fmt: skip
    for kind, part, column in kinds:
        tables = [read_columns(folder / file.path, [column]) for file in dataset.files[part]]
        ids = pa.concat_tables(tables)[column].cast(pa.string())
        found[kind] = ids.combine_chunks()
    return found


def segments_of(
    field: str | None, workspace: Path, dataset: Manifest, user_ids: pa.Array
) -> tuple[np.ndarray, list[str]] | None:
    """Return the segment of each user.

    Args:
        field: Field of users (`outcome.segment`); None: there are no segments.
        workspace: Folder of the workspace.
        dataset: Has the field.
        user_ids: [U]

    Returns:
        [U] number of each user's segment, and the names by number; None without a field.

    Raises:
        ConfigError: When there are more than `MOST_SEGMENTS`.
        VersionError: When the dataset lacks the field, or a file is damaged.
    """
    if field is None:
        return None
    folder = workspace / "datasets" / dataset.id
    tables = [read_columns(folder / f.path, [USER_ID, field]) for f in dataset.files["users"]]
    table = pa.concat_tables(tables)
    if field not in table.column_names:
        raise VersionError(
            f"dataset {dataset.id} has no field {field} of users, which outcome.segment names; run "
            "headrace run, or set it to null"
        )
    place = pc.index_in(user_ids, value_set=table[USER_ID].cast(pa.string()).combine_chunks())
    codes = Codes()
    of_user = codes.of(table[field].take(place).cast(pa.string()).fill_null(_NO_VALUE))
    if len(codes) > MOST_SEGMENTS:
        raise ConfigError(
            f"outcome.segment={field!r} has {len(codes):,} values, and at most {MOST_SEGMENTS} can "
            "be told apart; name another field"
        )
    return of_user, codes.texts


def knows_until(workspace: Path, policy: ListsManifest) -> int:
    """Return the newest instant that the policy's lists may know of, in microseconds since 1970.

    It is that of its dataset, or if that is gone, the end of its logical date; -1 without a date.
    """
    path = workspace / "datasets" / policy.dataset_id / MANIFEST_NAME["datasets"]
    if is_there(path):
        newest = newest_instant(read_manifest(workspace, "datasets", policy.dataset_id, Manifest))
        if newest is not None:
            return newest
    if policy.logical_date == UNDATED:
        return -1
    return first_instant(date.fromisoformat(policy.logical_date)) + DAY - 1
