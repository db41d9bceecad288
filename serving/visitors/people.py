"""Who the lists are for: the users of the files, with their numbers and fields in the dataset.

Legend of shapes: N users.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from conf.contract import UNKNOWN_IDX, USER_ID, USER_IDX, Manifest
from conf.erasure.forms import plain_form
from conf.errors import ConfigError
from conf.privacy.erased import ErasedUsers, has_erased, read_erased
from conf.privacy.keys import require_keys
from conf.privacy.log_ids import as_files_name_them
from conf.privacy.sealing import erased_hash, trimmed
from conf.settings.config import Config
from conf.settings.input import InputField, TableSource
from conf.workspace.parquet import read_columns, told_if_damaged
from serving.given_files.reading import GivenFile
from serving.rules.reading.now_rows import converted

log = logging.getLogger(__name__)
USERS_OPTION = "--users"
_EPOCH = datetime(1970, 1, 1)


class People(NamedTuple):
    """The users of the files, each once, in the order in which the files name them."""

    ids: list[str]
    """[N] as the files have them."""
    keys: list[str]
    """[N] as the dataset has them, or would have."""
    numbers: list[int]
    """[N] in the dataset; UNKNOWN_IDX for new users."""
    place_of: Mapping[str, int]
    """Place of each id of the files; erased users are missing."""
    erased: int
    """Users of the files who were erased."""


def people_of(config: Config, manifest: Manifest, dataset: Path, named: Iterable[str]) -> People:
    """Return the users of the files; erased ones are left out.

    Args:
        config: Names the workspace and the key.
        manifest: The dataset.
        dataset: Its folder.
        named: Ids of the files, also more than once.

    Raises:
        ConfigError: When users were erased, and there is no key to recognise them.
    """
    ids = list(dict.fromkeys(named))
    erased = _erased_users(config)
    left = [one for one in ids if not _is_erased(one, erased)]
    numbers = _numbers(manifest, dataset)
    label = as_files_name_them(config, manifest, "user", f"score {USERS_OPTION}")
    keys = [label(one) for one in left]
    if not any(key in numbers for key in keys):  # the file may have labels
        keys = [one if one in numbers else key for one, key in zip(left, keys, strict=True)]
    places: dict[str, int] = {}
    first: list[str] = []
    for one, key in zip(left, keys, strict=True):
        if places.setdefault(key, len(places)) == len(first):
            first.append(one)
    place_of = {one: places[key] for one, key in zip(left, keys, strict=True)}
    found = [numbers.get(key, UNKNOWN_IDX) for key in places]
    return People(first, list(places), found, place_of, len(ids) - len(left))


def _erased_users(config: Config) -> tuple[ErasedUsers, ...]:
    workspace = Path(config.run.output)
    if not has_erased(workspace):
        return ()
    keys = require_keys(config.privacy, "recognising users who were erased from this workspace")
    return read_erased(workspace, keys)


def _is_erased(raw_id: str, erased: Sequence[ErasedUsers]) -> bool:
    forms = {raw_id, trimmed(raw_id), plain_form(raw_id)}
    return any(erased_hash(one.key, form) in one.hashes for one in erased for form in forms)


def _numbers(manifest: Manifest, dataset: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    for file in manifest.files["users"]:
        table = read_columns(dataset / file.path, [USER_IDX, USER_ID])
        ids = table[USER_ID].cast(pa.string()).to_pylist()
        found.update(zip(ids, table[USER_IDX].to_pylist(), strict=True))
    return found


def fields_of_people(
    config: Config,
    manifest: Manifest,
    dataset: Path,
    people: People,
    file: GivenFile | None,
) -> pa.Table:
    """Return the fields of the users as rows of `users/` of the dataset: [N].

    A row of the file wins over the dataset's. What neither has is null.

    Args:
        config: Declares the fields.
        manifest: The dataset.
        dataset: Its folder.
        people: The users.
        file: The file of `--users`; None: there is none.

    Raises:
        ConfigError: When there is a file, but no table of users in the configuration.
        InputError: When a value of the file is not of its field's type.
    """
    path = dataset / manifest.files["users"][0].path
    with told_if_damaged(path):
        schema = pq.read_schema(path)
    fields = [field for field in schema if field.name not in (USER_ID, USER_IDX)]
    stored = _stored(manifest, dataset, people, [field.name for field in fields])
    given = {} if file is None else _given(config, manifest, people, file)
    rows = [stored.get(number, {}) for number in people.numbers]
    columns: dict[str, pa.Array] = {
        USER_IDX: pa.array(people.numbers, schema.field(USER_IDX).type),
        USER_ID: pa.array(people.keys, pa.string()),
    }
    for field in fields:
        values = [
            given.get(place, row).get(field.name, row.get(field.name))
            for place, row in enumerate(rows)
        ]
        columns[field.name] = pa.array(values, field.type)
    return pa.table(columns)


def _stored(
    manifest: Manifest, dataset: Path, people: People, names: list[str]
) -> dict[int, dict[str, Any]]:
    """Return the rows of the dataset's users among them, by number."""
    wanted = pa.array(sorted(set(people.numbers) - {UNKNOWN_IDX}), pa.int64())
    if not len(wanted):
        return {}
    found = {}
    for file in manifest.files["users"]:
        table = read_columns(dataset / file.path, [USER_IDX, *names])
        for row in table.filter(pc.is_in(table[USER_IDX], value_set=wanted)).to_pylist():
            found[row.pop(USER_IDX)] = row
    return found


def table_of_users(config: Config) -> TableSource:
    """Return the table of users that the configuration declares.

    Raises:
        ConfigError: When it declares none.
    """
    if config.input.users is None:
        raise ConfigError(
            f"{USERS_OPTION} is given, but input.users is null, so the fields of users have no "
            "names; set input.users, or leave the option out"
        )
    return config.input.users


def _given(
    config: Config, manifest: Manifest, people: People, file: GivenFile
) -> dict[int, dict[str, Any]]:
    """Return the fields that the file has, by place of the user; later rows win."""
    source = table_of_users(config)
    report, hidden, wrong = manifest.privacy, [], dict[int, str]()
    columns = {}
    for name, field in source.fields.items():
        method = {} if report is None else report.methods
        is_hidden = method.get(f"users.{name}", "keep") != "keep"
        is_hidden |= report is not None and name in report.quasi_identifiers
        if is_hidden:
            hidden.append(name)
        elif file.has(field.column or name, source):
            column = file.column(field.column or name, source)
            columns[name] = _converted(name, field, column, wrong)
    file.refuse(wrong)
    if hidden:
        log.warning(
            "score: %s: %s has a rule in the section privacy and is unknown of new users",
            USERS_OPTION,
            ", ".join(hidden),
        )
    found: dict[int, dict[str, Any]] = {}
    for row, one in enumerate(file.column(source.id_column, source)):
        place = people.place_of.get(str(one))
        if place is not None:
            own = {name: values[row] for name, values in columns.items()}
            found[place] = own | _fills(own, source, manifest)
    return found


def _converted(
    name: str, field: InputField, values: Sequence[Any], wrong: dict[int, str]
) -> list[Any]:
    found = []
    for place, value in enumerate(values):
        try:
            one = converted(value, field.type)
        except (ValueError, TypeError, OverflowError):
            one = None
            if field.bad == "quarantine":
                wrong.setdefault(place, f"{name}={value!r} is no {field.type}")
        if isinstance(one, datetime):
            one = round((one - _EPOCH).total_seconds() * 1_000_000)
        found.append(one)
    return found


def _fills(row: Mapping[str, Any], source: TableSource, manifest: Manifest) -> dict[str, Any]:
    """Return what the dataset puts in place of the missing values of a row, and marks of them."""
    found: dict[str, Any] = {}
    for name, fitted in manifest.fills.get("users", {}).items():
        if name not in row:
            continue
        found[f"{name}_was_missing"] = row[name] is None
        if row[name] is None:
            fill = source.fields[name].fill
            group = None if fill is None or fill.group_by is None else row.get(fill.group_by)
            found[name] = fitted["groups"].get(str(group), fitted["value"])
    return found
