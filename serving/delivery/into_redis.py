"""Lists as keys of Redis or Valkey: `prefix:<version>:<kind>:<user>`, and one key that names one.

All keys of lists expire after a while, so that nothing stays for ever if deliveries end. The record
does not: it holds no user, and its number refuses late deliveries.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

import redis
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ConnectionError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,
    WatchError,
)

from conf.contract import AUDIENCES, SIMILAR_ITEMS, USER_ID
from conf.errors import ConfigError, HeadraceError, StorageError, TargetDownError
from conf.settings.publishing.deliver import RedisTarget
from serving.delivery.forms import Forms
from serving.delivery.reading import Delivery, Kind, keys_of
from serving.delivery.texts import said
from serving.delivery.versions import (
    MADE_BY,
    Change,
    Counts,
    NotOursError,
    State,
    Version,
    is_label,
    or_none,
    parsed_state,
)

log = logging.getLogger(__name__)

_AT_ONCE = 500
_HOUR_SECONDS = 3600
_OWN = "made_by"  # the first key of each version, which says that it is ours
_WHOLE = "whole"  # a key that is there if all others of the version were written
_MOST_TRIES = 20
Item = TypeVar("Item")


class Keys:
    """A server that gets the lists."""

    def __init__(self, where: str, settings: RedisTarget) -> None:
        """Connect.

        Raises:
            ConfigError: When the address or the password is wrong.
            TargetDownError: When the server does not answer.
        """
        self._where, self._settings, self._prefix = where, settings, settings.prefix
        seconds = settings.timeout_seconds
        self._ttl = None if settings.ttl_hours is None else settings.ttl_hours * _HOUR_SECONDS
        try:
            self._client: Any = redis.Redis.from_url(
                settings.url,
                decode_responses=True,
                encoding_errors="replace",  # bytes of another program, or damaged ones
                socket_timeout=seconds,
                socket_connect_timeout=seconds,
                client_name="headrace",
            )
        except (ValueError, RedisError):
            raise ConfigError(
                f"{where}.url is no address of Redis, such as redis://:PASSWORD@HOST:6379/0; "
                "correct it, or the variable that it comes from"
            ) from None
        with self._told():
            self._client.ping()

    def state(self) -> State | None:
        """Return the record under `prefix:current`."""
        with self._told():
            self._client.scard(self._staging)  # refused if it is no set, and so none of ours
            return self._parsed(self._client.get(self._pointer))

    def stage(self, label: str, delivery: Delivery) -> dict[str, Counts]:
        """Write all documents, reading each back; the label is noted first."""
        with self._told():
            self._find_lost()
            self._client.sadd(self._staging, label)
            self._client.set(self._key(label, _OWN), MADE_BY, ex=self._ttl)
            counts = {kind.name: self._write(label, kind) for kind in delivery.kinds}
            self._client.set(self._key(label, _WHOLE), delivery.content, ex=self._ttl)
        return counts

    def counts(self, label: str, delivery: Delivery) -> dict[str, Counts]:
        """Return the counts of the documents that are there."""
        with self._told():
            return {
                kind.name: self._counted(kind.name, self._keys_of(label, kind))
                for kind in delivery.kinds
            }

    def holds(self, version: Version, delivery: Delivery, *, is_current: bool) -> bool:
        """Return whether a version is there; renew it if half of its time is over."""
        with self._told():
            whole = self._key(version.version, _WHOLE)
            left = self._client.ttl(whole)
            if left == -2:  # there is no such key
                return False
            is_fresh = left == -1 if self._ttl is None else left > self._ttl / 2
            if is_current and is_fresh:
                return True
            if not is_fresh:
                for kind in delivery.kinds:
                    for keys in self._keys_of(version.version, kind):
                        self._renew(keys)
                self._renew([whole, self._key(version.version, _OWN)])
        return self.counts(version.version, delivery) == version.kinds

    def switch(self, change: Change) -> State:
        """Replace the record in one step; begin again if another delivery was faster."""
        for _ in range(_MOST_TRIES):
            with self._told(), self._client.pipeline() as pipe:
                pipe.watch(self._pointer)
                old = or_none(self._parsed, pipe.get(self._pointer))
                new = change(old)
                if new is old:
                    return new
                label = new.current.version
                pipe.watch(self._key(label, _WHOLE))
                if not pipe.exists(self._key(label, _WHOLE)):
                    raise TargetDownError(
                        f"{self._where}: version {label} is gone before it was switched to: "
                        "another delivery has removed it, or the server is full and evicts keys; "
                        "deliver again, or give the server more memory"
                    )
                pipe.multi()
                pipe.set(self._pointer, new.model_dump_json())
                pipe.sadd(self._staging, label, *new.named())
                try:
                    pipe.execute()
                except WatchError:
                    continue
                return new
        raise TargetDownError(f"{self._where}: other deliveries are switching; deliver again later")

    def labels(self) -> Iterable[str]:
        """Return the labels that were noted before anything was written under them."""
        with self._told():
            self._find_lost()
            return self._noted()

    def drop(self, label: str) -> None:
        """Remove all keys of a version, then its note."""
        with self._told():
            state = or_none(self._parsed, self._client.get(self._pointer))
            if state is not None and label in state.named():
                return
            self._client.unlink(self._key(label, _WHOLE))
            for keys in _pieces(self._scanned(f"{label}:*")):
                self._client.unlink(*keys)
            self._client.srem(self._staging, label)

    def erase_rows(self, names: frozenset[str]) -> dict[str, dict[str, tuple[int, Counts]]]:
        """Remove the lists of users from all versions; return what was removed and what is left.

        Audiences are rewritten without the users.

        Args:
            names: Their ids, or labels.
        """
        state = self.state()
        versions = () if state is None else state.versions()
        found: dict[str, dict[str, tuple[int, Counts]]] = {}
        with self._told():
            for one in versions:
                removed = {kind: self._without(one.version, kind, names) for kind in one.kinds}
                keys = self._found_in(one.version)
                if AUDIENCES in one.kinds:
                    audiences = keys.get(AUDIENCES, set())
                    removed[AUDIENCES] = sum(self._without_users(key, names) for key in audiences)
                found[one.version] = {
                    kind: (rows, self._counted(kind, _pieces(keys.get(kind, ()))))
                    for kind, rows in removed.items()
                }
        return found

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    @property
    def _pointer(self) -> str:
        return f"{self._prefix}:current"

    @property
    def _staging(self) -> str:
        return f"{self._prefix}:versions"

    def _key(self, label: str, *more: str) -> str:
        return ":".join((self._prefix, label, *more))

    def _parsed(self, record: Any) -> State | None:
        where = f"{self._where}: the key {self._pointer}"
        return parsed_state(record, where, lambda: bool(self._noted()))

    def _noted(self) -> list[str]:
        found: set[str] = self._client.smembers(self._staging)
        return sorted(filter(is_label, found))

    def _find_lost(self) -> None:
        """Note versions of ours again if the note of them is gone, such as evicted.

        Only then are all keys of the server looked through.
        """
        if self._noted():
            return
        keys = self._client.scan_iter(f"{self._prefix}:*:{_OWN}", count=1000, _type="STRING")
        found = [key for key in keys if self._client.get(key) == MADE_BY]
        labels = [key.removeprefix(f"{self._prefix}:").partition(":")[0] for key in found]
        for label in filter(is_label, labels):
            self._client.sadd(self._staging, label)

    def _scanned(self, pattern: str) -> Iterator[str]:
        """Yield the keys of a pattern, below the prefix."""
        yield from self._client.scan_iter(match=f"{self._prefix}:{pattern}", count=1000)

    def _write(self, label: str, kind: Kind) -> Counts:
        """Write the documents of a kind; each piece is read back and compared."""
        forms, rows, lists = Forms(kind.name), 0, 0
        for table, found in kind.counted():
            for piece in _pieces(forms.documents(table, kind.key)):
                keys = [self._key(label, kind.name, owner) for owner, _ in piece]
                with self._client.pipeline(transaction=False) as pipe:
                    for key, (_, document) in zip(keys, piece, strict=True):
                        pipe.set(key, document, ex=self._ttl)
                    pipe.mget(keys)
                    *_, back = pipe.execute()
                if back != [document for _, document in piece]:
                    raise StorageError(
                        f"{self._where}: the server does not hold what was written to it: it "
                        "is full and evicts keys (maxmemory-policy); give it more memory"
                    )
            rows, lists = rows + table.num_rows, lists + found
        return Counts(rows=rows, lists=lists)

    def _keys_of(self, label: str, kind: Kind) -> Iterator[list[str]]:
        """Yield the keys of a kind's documents, in pieces."""
        for names in keys_of(kind):
            for piece in _pieces(names):
                yield [self._key(label, kind.name, name) for name in piece]

    def _found_in(self, label: str) -> dict[str, set[str]]:
        """Return the keys of a version's documents that are there, by kind.

        A scan visits all keys of the server, so there is one for all kinds. It may repeat a key.
        """
        found: dict[str, set[str]] = {}
        begin = self._key(label, "")
        for key in self._scanned(f"{label}:*:*"):
            kind = key.removeprefix(begin).partition(":")[0]
            found.setdefault(kind, set()).add(key)
        return found

    def _counted(self, kind: str, keys: Iterable[Sequence[str]]) -> Counts:
        """Return the counts of the documents under keys, those that are there."""
        forms, rows, lists = Forms(kind), 0, 0
        for piece in keys:
            documents = [one for one in self._client.mget(piece) if one is not None]
            rows, lists = rows + forms.num_rows(documents), lists + len(documents)
        return Counts(rows=rows, lists=lists)

    def _renew(self, keys: Sequence[str]) -> None:
        """Give keys their whole time again."""
        with self._client.pipeline(transaction=False) as pipe:
            for key in keys:
                if self._ttl is None:
                    pipe.persist(key)
                else:
                    pipe.expire(key, self._ttl)
            pipe.execute()

    def _without(self, label: str, kind: str, names: frozenset[str]) -> int:
        """Remove the lists of users, of a kind that has a list a user; return how many rows."""
        removed = 0
        if kind in (SIMILAR_ITEMS, AUDIENCES):
            return removed
        for piece in _pieces(sorted(names)):
            keys = [self._key(label, kind, name) for name in piece]
            removed += self._counted(kind, [keys]).rows
            self._client.unlink(*keys)
        return removed

    def _without_users(self, key: str, names: frozenset[str]) -> int:
        """Remove users from an audience; return how many.

        One that cannot be read is removed whole, as it may hold them; the next delivery writes it.
        """
        try:
            rows = json.loads(self._client.mget([key])[0] or "[]")  # None: it is no text
            left = [row for row in rows if row[USER_ID] not in names]
        except (ValueError, TypeError, KeyError) as error:
            log.warning("%s: removing the damaged key %s (%s)", self._where, key, error)
            rows = left = []
        if not left:
            self._client.unlink(key)
        elif len(left) < len(rows):
            self._client.set(key, json.dumps(left, ensure_ascii=False), keepttl=True)
        return len(rows) - len(left)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn errors of the client and the server into ours."""
        try:
            yield
        except (RedisError, UnicodeError) as error:  # the cause may hold the address
            raise _ours(self._where, error, said(error, self._settings.url)) from None


def _ours(where: str, error: Exception, text: str) -> HeadraceError:
    wrong = (AuthenticationError, AuthorizationError, NoPermissionError, UnicodeError)  # of a host
    if isinstance(error, wrong) or "WRONGPASS" in text or "NOAUTH" in text or "DB index" in text:
        return ConfigError(f"{where}: {text}; correct its url, or the variable that it comes from")
    if isinstance(error, OutOfMemoryError):
        return StorageError(f"{where}: the server is full: {text}; give it more memory")
    if isinstance(error, ReadOnlyError):
        return ConfigError(f"{where}: {text}: this is a replica; name the primary server")
    if isinstance(error, ConnectionError | TimeoutError | BusyLoadingError):
        return TargetDownError(f"{where}: the server does not answer: {text}; try again later")
    if isinstance(error, ResponseError) and text.startswith("WRONGTYPE"):
        return NotOursError(
            f"{where}: a key of its prefix is there, but it is not Headrace's ({text}); choose "
            "another prefix"
        )
    return HeadraceError(f"{where}: {text}")


def _pieces(given: Iterable[Item]) -> Iterator[Sequence[Item]]:
    """Yield lists of at most `_AT_ONCE` elements."""
    source = iter(given)
    while piece := list(islice(source, _AT_ONCE)):
        yield piece
