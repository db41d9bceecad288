"""Make lists for the users of a file of events, of a file of users, or of both.

Nothing in the workspace changes. The work is done in the command's own process, without Ray.

Legend of shapes: N users, B users at once.
"""

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq

from conf.contract import NUM_RESERVED, POSITION, UNKNOWN_IDX, USER_ID, Bundle, Manifest
from conf.errors import ConfigError, InputError
from conf.runs.inputs.input_files import InputFile
from conf.settings.config import Config
from conf.workspace.json_files import written_whole
from conf.workspace.publications import ShownLists
from conf.workspace.versions import read_manifest
from serving.given_files.cells import EVENTS_OPTION
from serving.given_files.reading import GivenFile, read_file
from serving.kinds.prepared import Source, prepared
from serving.publishing.parts import PartLists, read_item_ids
from serving.ranking.channels import knows
from serving.ranking.user_vectors import chosen_rows
from serving.rules.possible import FALLBACK_REASONS
from serving.rules.reading.tables import with_num_events
from serving.scoring.list_model import load_model
from serving.scoring.worker import PartScorer, ScoringJob
from serving.visitors.events import COUNTS, GivenEvents, read_events
from serving.visitors.groups import NewUsers
from serving.visitors.histories import histories_with
from serving.visitors.people import (
    USERS_OPTION,
    People,
    fields_of_people,
    people_of,
    table_of_users,
)
from trainer.data.columns import Ragged
from trainer.models.bundle import require_same_vocabulary

log = logging.getLogger(__name__)
_NUMBER_BYTES = 4  # of the hash that numbers a new user
_USERS_AT_ONCE = 10_000


class Sources(NamedTuple):
    """The files of the command."""

    events: Path | None
    users: Path | None
    target: Path


def run(
    config: Config,
    *,
    dataset_id: str,
    model_id: str,
    sources: tuple[Path | None, Path | None, Path],
    models: Mapping[str, str] = MappingProxyType({}),
    files: Mapping[str, Sequence[InputFile]] = MappingProxyType({}),
    shown: Sequence[ShownLists] = (),
) -> dict[str, Any]:
    """Write the lists of the users of the files; return what was counted.

    Args:
        config: The run's configuration.
        dataset_id: The dataset.
        model_id: The main model.
        sources: The files of events and of users, either may be missing, and the file to write.
        models: Models of other roles, by role.
        files: Of `conf.runs.inputs.list_files.list_files`.
        shown: Of `conf.runs.lineage.shown_lists`.

    Raises:
        ConfigError: When an option is wrong, or a rule cannot be evaluated.
        InputError: When a file is wrong, or names nobody.
    """
    given = Sources(*sources)
    _require_options(config, given)
    workspace = Path(config.run.output).resolve()
    manifest = read_manifest(workspace, "datasets", dataset_id, Manifest)
    require_same_vocabulary(read_manifest(workspace, "models", model_id, Bundle), manifest)
    asked = _asked(config, manifest, workspace / "datasets" / dataset_id, given)
    scorer = PartScorer(
        _job(config, manifest, model_id, workspace, models=models, files=files, shown=shown)
    )
    found, lists = Counter[str](), []
    for made, of_lists in _made(scorer, asked):
        lists.append(made)
        found += of_lists
    _write(_in_order(pa.concat_tables(lists), asked.people), given.target)
    return _told(asked.people, asked.counts, found)


class _Asked(NamedTuple):
    """The users whom lists are made for."""

    people: People
    fields: pa.Table
    """[N] rows as in `users/` of the dataset."""
    histories: Ragged
    """[N]"""
    counts: Mapping[str, int]
    """Of the events of the file."""


def _asked(config: Config, manifest: Manifest, dataset: Path, sources: Sources) -> _Asked:
    """Read the files, and what the dataset knows of their users.

    Raises:
        InputError: When a file is wrong, or names nobody.
    """
    item_ids = read_item_ids(dataset, manifest)
    events, counts = _events(config, manifest, sources.events, item_ids)
    table = None
    if sources.users is not None:
        table = read_file(USERS_OPTION, sources.users, table_of_users(config))
    people = people_of(config, manifest, dataset, _named(config, events, table))
    if not people.ids:
        raise InputError(
            "the files name no user whom lists can be made for"
            + (f": all {people.erased:,} were erased" if people.erased else "")
        )
    fields = fields_of_people(config, manifest, dataset, people, table)
    histories, doubled = histories_with(config, manifest, dataset, people, events)
    _warn(counts, sources, [one for one in manifest.event_types if one in config.etl.event_types])
    fields = with_num_events(fields, histories)
    return _Asked(people, fields, histories, {**counts, "already_there": doubled})


def _in_order(lists: pa.Table, people: People) -> pa.Table:
    """Return the rows of lists in the order of the users in the files."""
    ids = pa.array(people.ids, pa.string())
    place = pc.index_in(lists[USER_ID], value_set=ids).to_numpy()
    return lists.take(pa.array(np.lexsort((lists[POSITION].to_numpy(), place))))


def _require_options(config: Config, sources: Sources) -> None:
    target = sources.target
    if target.suffix not in _WRITERS:
        raise ConfigError(f"--output={str(target)!r}: the name must end in {', '.join(_WRITERS)}")
    for option, path in ((EVENTS_OPTION, sources.events), (USERS_OPTION, sources.users)):
        if path is not None and target.exists() and path.exists() and target.samefile(path):
            raise ConfigError(f"--output={str(target)!r} is the file of {option}; name another one")
    if sources.users is not None:
        table_of_users(config)


def _events(
    config: Config, manifest: Manifest, path: Path | None, item_ids: pa.Array
) -> tuple[GivenEvents, Counter[str]]:
    if path is not None:
        return read_events(config, manifest, path, item_ids)
    none = np.zeros(0, dtype=np.int64)
    return GivenEvents([], [], none, none, none), Counter(dict.fromkeys(COUNTS, 0))


def _named(config: Config, events: GivenEvents, table: GivenFile | None) -> Iterator[str]:
    """Yield the ids of users in both files.

    Raises:
        InputError: When a row of the table of users has none.
    """
    yield from events.named
    if table is None:
        return
    source = table_of_users(config)
    ids = table.column(source.id_column, source)
    missing = [place for place, one in enumerate(ids) if one is None]
    table.refuse(dict.fromkeys(missing, f"{source.id_column} is missing; every row needs it"))
    yield from map(str, ids)


def _warn(counts: Mapping[str, int], sources: Sources, types: Sequence[str]) -> None:
    if counts["unknown_type"]:
        log.warning(
            "score: %d of %d events of %s have another type than %s; they are left out",
            counts["unknown_type"],
            counts["read"],
            EVENTS_OPTION,
            " and ".join(types),
        )
    if sources.events is not None and not counts["known_item"]:
        log.warning(
            "score: no event of %s=%s has an item of the dataset; users who are new get popular "
            "items",
            EVENTS_OPTION,
            sources.events,
        )


def _job(
    config: Config,
    manifest: Manifest,
    model_id: str,
    workspace: Path,
    *,
    models: Mapping[str, str],
    files: Mapping[str, Sequence[InputFile]],
    shown: Sequence[ShownLists],
) -> ScoringJob:
    """Return what a scoring worker is made from; the worker loads the models once more.

    Raises:
        ConfigError: When a rule cannot be evaluated, or leaves no item.
    """
    model = load_model(workspace, model_id, manifest)
    item_ids = read_item_ids(workspace / "datasets" / manifest.id, manifest)
    source = Source(config, manifest, model, item_ids, models, files)
    kind = prepared(source, shown, {})[0].kind
    exact = kind.score.model_copy(update={"index": None})  # few users are not worth an index
    return ScoringJob(
        workspace, manifest.id, model_id, "", workspace, exact,
        stages=kind.stages,
        templates=kind.templates,
        given=kind.given,
        seed=config.run.seed,
    )  # fmt: skip


def _made(scorer: PartScorer, asked: _Asked) -> Iterator[tuple[pa.Table, Counter[str]]]:
    """Yield lists as rows, and their counts, some users after others."""
    people = asked.people
    ids = pa.array(people.ids, pa.string())
    of_groups = NewUsers(
        scorer.maker.staged, scorer.job.score, scorer.loaded.dataset, scorer.loaded.manifest
    )
    known = scorer.loaded.model.pools.model
    for start in range(0, len(ids), _USERS_AT_ONCE):
        some = asked.fields.slice(start, _USERS_AT_ONCE)
        for rows in of_groups.in_turn(some):
            at = start + rows
            own = chosen_rows(asked.histories, at)
            rules = scorer.maker.for_part(some.take(pa.array(rows)), own)
            if rules is not None:
                rules.user_idx = _numbers(rules.user_idx, [people.keys[one] for one in at])
            lists = scorer.maker.lists(own, rules)
            counts = _counted(lists, own, known)
            yield scorer.table(ids.take(pa.array(at)), own, lists), counts


def _numbers(user_idx: np.ndarray, keys: Sequence[str]) -> np.ndarray:
    """Return numbers that differ between new users too, for shares and draws: [N] int64.

    Args:
        user_idx: [N] numbers of the dataset, the same for all new users.
        keys: [N] their ids.
    """
    own = [int.from_bytes(sha256(key.encode()).digest()[:_NUMBER_BYTES], "big") for key in keys]
    found: np.ndarray = np.where(user_idx == UNKNOWN_IDX, own, user_idx).astype(np.int64)
    return found


def _counted(lists: PartLists, histories: Ragged, known: np.ndarray) -> Counter[str]:
    lengths = (lists.item_idx >= 0).sum(1)
    found = Counter(
        without_known_event=int((~knows(histories, known)).sum()),
        full=int((lengths == lists.item_idx.shape[1]).sum()),
        short=int(((lengths > 0) & (lengths < lists.item_idx.shape[1])).sum()),
        empty=int((lengths == 0).sum()),
        fallback=int((lists.why_fallback > 0).sum()),
    )
    for code, count in zip(*np.unique(lists.why_fallback, return_counts=True), strict=True):
        if code:
            found[f"fallback {FALLBACK_REASONS[code]}"] += int(count)
    return found


def _told(people: People, events: Mapping[str, int], lists: Counter[str]) -> dict[str, Any]:
    known = sum(number >= NUM_RESERVED for number in people.numbers)
    found = {
        "users": {
            "new": len(people.ids) - known,
            "known": known,
            "without_known_event": lists["without_known_event"],
            "erased": people.erased,
        },
        "events": {name: events[name] for name in (*COUNTS, "already_there")},
        "lists": {name: lists[name] for name in ("full", "short", "empty", "fallback")},
        "fallbacks": {
            name.removeprefix("fallback "): count
            for name, count in sorted(lists.items())
            if name.startswith("fallback ")
        },
    }
    log.info("score: lists of %d users, %d of them new", len(people.ids), found["users"]["new"])
    return found


def _write(lists: pa.Table, target: Path) -> None:
    """Write the rows of lists in one step, in the form that the name asks for."""
    with written_whole(target.resolve()) as stream:
        _WRITERS[target.suffix](lists, stream)


def _write_csv(lists: pa.Table, stream: IO[bytes]) -> None:
    """Write lists as csv; a column with lists or structs holds JSON."""
    for place, field in enumerate(lists.schema):
        if pa.types.is_nested(field.type):
            texts = [_as_json(one) for one in lists.column(place).to_pylist()]
            lists = lists.set_column(place, field.name, pa.array(texts, pa.string()))
    pc_csv.write_csv(lists, stream)


def _as_json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)


def _write_json_lines(lists: pa.Table, stream: IO[bytes]) -> None:
    for batch in lists.to_batches():
        for row in batch.to_pylist():
            stream.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


_WRITERS: Mapping[str, Callable[[pa.Table, IO[bytes]], Any]] = {
    ".parquet": pq.write_table,
    ".csv": _write_csv,
    ".jsonl": _write_json_lines,
}
