"""Lists as tables of PostgreSQL: one for each version and kind, and a view that shows one of them.

The view always has the same columns, so it is replaced and not made again: rights to it, and what
other people built on it, stay. A small table has the record of each target.
"""

import logging
from collections.abc import Iterable, Iterator
from typing import LiteralString, cast

import pyarrow as pa
from psycopg import errors
from psycopg.sql import SQL, Composed, Identifier, Literal
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from conf.contract import AUDIENCE, AUDIENCES, ITEM_ID, POSITION, SIMILAR_ITEMS, USER_ID
from conf.settings.publishing.deliver import PostgresqlTarget
from serving.delivery.forms import NESTED, Forms, columns_of
from serving.delivery.postgresql_errors import connected, told
from serving.delivery.reading import Delivery, Kind
from serving.delivery.versions import (
    Change,
    Counts,
    DamagedRecordError,
    NotOursError,
    State,
    Version,
    is_label,
    or_none,
    parsed_state,
)

log = logging.getLogger(__name__)

CONTROL = "headrace_versions"
_MARK = "headrace:"
_MOMENT_MS, _PAUSE_SECONDS = 500, 1.0
_OWNERS = {SIMILAR_ITEMS: ITEM_ID, AUDIENCES: AUDIENCE}
_TYPES = {pa.int32(): "integer", pa.float32(): "real", pa.string(): "text"}
_RELATION = """
    SELECT c.relkind::text, coalesce(obj_description(c.oid, 'pg_class'), '')
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relname = %s
"""
_COMMENTED = """
    SELECT c.relname, obj_description(c.oid, 'pg_class')
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relkind = %s AND obj_description(c.oid, 'pg_class') LIKE %s
"""


class Tables:
    """A database that gets the lists."""

    def __init__(self, where: str, settings: PostgresqlTarget) -> None:
        """Connect.

        Raises:
            ConfigError: When the address, the user or the password is wrong.
            TargetDownError: When the server does not answer.
        """
        self._where, self._settings = where, settings
        self._schema, self._table = settings.namespace, settings.table
        self._connection = connected(where, settings)

    def state(self) -> State | None:
        """Return the record in the control table."""
        with told(self._where, self._settings):
            control = self._relation(CONTROL)
            if control is not None and control[1] != _MARK:
                raise self._foreign(CONTROL)
            self._require_own(self._table)
            return self._record()

    def stage(self, label: str, delivery: Delivery) -> dict[str, Counts]:
        """Write a table for each kind, in one transaction, with its primary key."""
        with told(self._where, self._settings):
            self._make_control()
            for kind in delivery.kinds:
                self._require_own(self._view(kind.name))
            with self._connection.transaction():
                counts = {kind.name: self._copy(label, kind) for kind in delivery.kinds}
            for kind in delivery.kinds:
                self._run(SQL("ANALYZE {}").format(self._of(label, kind.name)))
        return counts

    def counts(self, label: str, delivery: Delivery) -> dict[str, Counts]:
        """Return the counts of the tables of a version."""
        with told(self._where, self._settings):
            return {kind.name: self._counted(label, kind.name) for kind in delivery.kinds}

    def holds(self, version: Version, delivery: Delivery, *, is_current: bool) -> bool:
        """Return whether the tables of a version are there; unless it is current, count them."""
        with told(self._where, self._settings):
            names = [self._version_name(version.version, kind) for kind in version.kinds]
            if any(self._relation(name) is None for name in names):
                return False
            if is_current:
                return all(self._relation(self._view(kind)) for kind in version.kinds)
            found = {kind: self._counted(version.version, kind) for kind in version.kinds}
        return found == version.kinds

    def switch(self, change: Change) -> State:
        """Replace the views and the record in one transaction, under an advisory lock.

        Who waits for a view keeps new readers waiting too, so each try waits for a moment only.
        """
        tries = Retrying(
            retry=retry_if_exception_type(errors.LockNotAvailable),
            stop=stop_after_delay(self._settings.timeout_seconds),
            wait=wait_fixed(_PAUSE_SECONDS),
            reraise=True,
        )
        with told(self._where, self._settings):
            new: State = tries(self._switch, change)
        return new

    def _switch(self, change: Change) -> State:
        with self._connection.transaction():
            self._connection.execute(f"SET LOCAL lock_timeout = {_MOMENT_MS}")
            self._lock()
            old = or_none(self._record)
            new = change(old)
            if new is old:
                return new
            self._show(new)
            statement = SQL(
                "INSERT INTO {} (name, number, version_id, delivered_at, record) "
                "VALUES (%s, %s, %s, now(), %s) ON CONFLICT (name) DO UPDATE SET "
                "number = excluded.number, version_id = excluded.version_id, "
                "delivered_at = excluded.delivered_at, record = excluded.record"
            ).format(self._own(CONTROL))
            row = (self._table, new.number, new.current.id, new.model_dump_json())
            self._connection.execute(statement, row)
        return new

    def labels(self) -> Iterable[str]:
        """Return the labels in the comments of our tables."""
        with told(self._where, self._settings):
            return {label for _, label in self._commented()}

    def drop(self, label: str) -> None:
        """Drop the tables of a version; one that somebody still reads is left for the next time."""
        with told(self._where, self._settings):
            try:
                with self._connection.transaction():
                    self._lock()
                    state = or_none(self._record)
                    if state is not None and label in state.named():
                        return
                    for name, own in self._commented():
                        if own == label:
                            self._run(SQL("DROP TABLE {}").format(self._own(name)))
            except errors.LockNotAvailable:
                log.warning(
                    "%s: version %s of %s is in use; the next delivery removes it",
                    self._where, label, self._table,
                )  # fmt: skip

    def erase_rows(self, names: frozenset[str]) -> dict[str, dict[str, tuple[int, Counts]]]:
        """Delete the rows of users in all versions; return what was removed and what is left.

        Args:
            names: Their ids, or labels.
        """
        found: dict[str, dict[str, tuple[int, Counts]]] = {}
        for label in sorted(self.labels()):
            with told(self._where, self._settings), self._connection.transaction():
                found[label] = {
                    kind: self._without(label, kind, names) for kind in self._kinds_of(label)
                }
        for label, kinds in found.items():
            with told(self._where, self._settings):
                for kind, (removed, _) in kinds.items():
                    if removed:
                        self._run(SQL("VACUUM ANALYZE {}").format(self._of(label, kind)))
        return found

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _without(self, label: str, kind: str, names: frozenset[str]) -> tuple[int, Counts]:
        removed = 0
        if USER_ID in columns_of(kind):
            statement = SQL("DELETE FROM {} WHERE {} = ANY(%s)").format(
                self._of(label, kind), Identifier(USER_ID)
            )
            removed = self._connection.execute(statement, (sorted(names),)).rowcount
        return removed, self._counted(label, kind)

    def _make_control(self) -> None:
        """Make the schema and the control table if they are missing."""
        with self._connection.transaction():
            self._lock()
            find = "SELECT 1 FROM pg_namespace WHERE nspname = %s"
            if self._connection.execute(find, (self._schema,)).fetchone() is None:
                self._run(SQL("CREATE SCHEMA {}").format(Identifier(self._schema)))
            if self._relation(CONTROL) is not None:
                return
            self._run(
                SQL(
                    "CREATE TABLE {} (name text PRIMARY KEY, number bigint NOT NULL, "
                    "version_id text NOT NULL, delivered_at timestamptz NOT NULL, "
                    "record jsonb NOT NULL)"
                ).format(self._own(CONTROL))
            )
            self._comment("TABLE", CONTROL, _MARK)

    def _copy(self, label: str, kind: Kind) -> Counts:
        """Write the rows of a kind into a new table."""
        columns, table = columns_of(kind.name), self._of(label, kind.name)
        types = [
            SQL("{} {}").format(Identifier(name), SQL("jsonb" if name in NESTED else _TYPES[type]))
            for name, type in columns.items()
        ]
        self._run(SQL("CREATE TABLE {} ({})").format(table, SQL(", ").join(types)))
        forms, rows, lists = Forms(kind.name), 0, 0
        begin = SQL("COPY {} FROM STDIN (FORMAT csv)").format(table)
        with self._connection.cursor() as cursor, cursor.copy(begin) as copy:
            for part, found in kind.counted():
                copy.write(forms.csv(part))
                rows, lists = rows + part.num_rows, lists + found
        owner = Identifier(_OWNERS.get(kind.name, USER_ID))
        key = SQL("ALTER TABLE {} ADD PRIMARY KEY ({}, {})")
        self._run(key.format(table, owner, Identifier(POSITION)))
        self._comment("TABLE", self._version_name(label, kind.name), self._mark(label, kind.name))
        return Counts(rows=rows, lists=lists)

    def _counted(self, label: str, kind: str) -> Counts:
        owner = Identifier(_OWNERS.get(kind, USER_ID))
        query = SQL(
            "SELECT coalesce(sum(n), 0)::bigint, count(*) FROM "
            "(SELECT count(*) AS n FROM {} GROUP BY {}) AS of_lists"
        )
        row = self._connection.execute(query.format(self._of(label, kind), owner)).fetchone()
        assert row is not None  # of an aggregate
        return Counts(rows=row[0], lists=row[1])

    def _show(self, new: State) -> None:
        """Let the views show a version; others that we made become empty."""
        shown = {self._view(kind): kind for kind in new.current.kinds}
        for view, kind in shown.items():
            self._require_own(view)
            columns = SQL(", ").join(map(Identifier, columns_of(kind)))
            table = self._of(new.current.version, kind)
            self._run(
                SQL("CREATE OR REPLACE VIEW {} AS SELECT {} FROM {}").format(
                    self._own(view), columns, table
                )
            )
            self._comment("VIEW", view, f"{_MARK}{self._table}")
        mark = (self._schema, "v", f"{_MARK}{self._table}")
        for view, _ in self._connection.execute(_COMMENTED, mark).fetchall():
            if view not in shown:  # rights to it, and views on it, stay
                query = SQL("CREATE OR REPLACE VIEW {} AS SELECT {} WHERE false")
                self._run(query.format(self._own(view), self._nothing_of(view)))

    def _nothing_of(self, view: str) -> Composed:
        """Return the columns of a view, with their types, all null."""
        query = SQL(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = "
            "(SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = %s AND c.relname = %s) AND attnum > 0 ORDER BY attnum"
        )
        rows = self._connection.execute(query, (self._schema, view)).fetchall()
        columns = [
            SQL("NULL::{} AS {}").format(SQL(cast(LiteralString, kind)), Identifier(name))
            for name, kind in rows
        ]
        return SQL(", ").join(columns)

    def _record(self) -> State | None:
        if self._relation(CONTROL) is None:
            return None
        query = SQL("SELECT record FROM {} WHERE name = %s FOR UPDATE").format(self._own(CONTROL))
        row = self._connection.execute(query, (self._table,)).fetchone()
        where = f"{self._where}: the row {self._table} of {self._schema}.{CONTROL}"
        try:
            return None if row is None else parsed_state(row[0], where, lambda: True)
        except NotOursError as error:  # nobody else writes to a table that is ours
            raise DamagedRecordError(f"{where} is damaged") from error

    def _lock(self) -> None:
        """Wait for other deliveries to this schema, until the transaction ends."""
        key = f"{_MARK}{self._schema}"
        self._connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (key,))

    def _relation(self, name: str) -> tuple[str, str] | None:
        """Return kind and comment of what has a name in the schema."""
        row = self._connection.execute(_RELATION, (self._schema, name)).fetchone()
        return None if row is None else (row[0], row[1])

    def _require_own(self, view: str) -> None:
        """Refuse to replace what somebody else has made."""
        found = self._relation(view)
        if found is not None and found != ("v", f"{_MARK}{self._table}"):
            raise self._foreign(view)

    def _commented(self) -> Iterator[tuple[str, str]]:
        """Yield name and label of each of our tables."""
        mark = f"{_MARK}{self._table} "
        given = (self._schema, "r", mark.replace("_", "\\_") + "%")
        for name, comment in self._connection.execute(_COMMENTED, given).fetchall():
            label = comment.removeprefix(mark).partition(" ")[0]
            if is_label(label):
                yield name, label

    def _kinds_of(self, label: str) -> list[str]:
        given = (self._schema, "r", self._mark(label, "").replace("_", "\\_") + "%")
        found = self._connection.execute(_COMMENTED, given).fetchall()
        return [comment.rpartition(" ")[2] for _, comment in found]

    def _view(self, kind: str) -> str:
        """Return the name of the view of a kind of lists."""
        suffix = kind.removeprefix("scenarios.").lower()
        return self._table if kind == "lists" else f"{self._table}_{suffix}"

    def _version_name(self, label: str, kind: str) -> str:
        return f"{self._view(kind)}_v{label}"

    def _mark(self, label: str, kind: str) -> str:
        return f"{_MARK}{self._table} {label} {kind}"

    def _own(self, name: str) -> Identifier:
        return Identifier(self._schema, name)

    def _of(self, label: str, kind: str) -> Identifier:
        return self._own(self._version_name(label, kind))

    def _comment(self, what: str, name: str, text: str) -> None:
        statement = SQL("COMMENT ON {} {} IS {}")
        self._run(statement.format(SQL(what), self._own(name), Literal(text)))

    def _run(self, statement: Composed) -> None:
        self._connection.execute(statement)

    def _foreign(self, name: str) -> NotOursError:
        return NotOursError(
            f"{self._where}: {self._schema}.{name} is there, but it is not Headrace's, so it is "
            "left as it is; choose another table or schema, or remove it if nobody needs it"
        )
