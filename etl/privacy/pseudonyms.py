"""Shield rows before any is stored: pseudonyms for ids, encrypted texts, erased users.

Spark's SQL would put a key into its plans and so into its event log. So this is Python code that
runs on the executors, with the key inside the function that Spark ships. The function is pickled
by value because executors do not have our packages; they need Python, pyarrow and cryptography.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.cloudpickle import register_pickle_by_value
from pyspark.sql import DataFrame
from pyspark.sql.types import BooleanType, StringType, StructField, StructType

from conf.privacy import sealing

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ERASED = "__erased"  # boolean, the row is of an erased user
SEALED = "__sealed_"  # prefix: the encrypted raw id, in one row per pseudonym and task
_WORDS = re.compile(r"\w+")
_BETWEEN_FIELDS = re.compile(r"[\s,;:|\"'\[\]{}]+")


@dataclass(frozen=True, repr=False)  # keeps keys out of tracebacks
class Shield:
    """How rows are protected."""

    label_key: bytes
    seal_key: bytes
    nonce_key: bytes
    tenant: str
    labels: Mapping[str, str]
    """Columns whose texts are replaced by pseudonyms, with the domain of each."""
    remembered: tuple[str, ...]
    """Those of them whose raw text is kept, encrypted, in a column SEALED + name."""
    sealed: tuple[str, ...]
    """Columns whose texts are encrypted."""
    row: tuple[str, ...]
    """Columns that identify a row: equal texts of different rows are encrypted differently."""
    user: str | None
    """Column of the user's id, if there is one."""
    broken: str | None
    """Boolean column: the line is not a row, so any of its words may be a user's id."""
    text: str
    """Column of the raw line."""
    erased: tuple[tuple[bytes, frozenset[str]], ...]
    """Keyed hashes of erased users, each set with its key."""
    emptied: tuple[str, ...]
    """Columns that are set to null in rows of erased users."""


def shield_rows(rows: DataFrame, shield: Shield) -> DataFrame:
    """Add ERASED and the SEALED columns, replace ids by pseudonyms and encrypt texts."""
    added = [StructField(SEALED + name, StringType()) for name in shield.remembered]
    fields = [*rows.schema.fields, *added, StructField(ERASED, BooleanType())]
    return rows.mapInArrow(shipped(shield), StructType(fields))


def shipped(shield: Shield) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return `shield_batches` as a function that is pickled by value, with its modules."""
    for module in (sealing, sys.modules[__name__]):
        register_pickle_by_value(module)  # type: ignore[no-untyped-call]

    def shielded(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return shield_batches(batches, shield)

    return shielded


def shield_batches(batches: Iterable[pa.RecordBatch], shield: Shield) -> Iterator[pa.RecordBatch]:
    """Shield the batches of one task, as `shield_rows` does."""
    cipher = sealing.cipher_of(shield.seal_key)
    known: dict[str, set[str]] = {name: set() for name in shield.remembered}
    for batch in batches:
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        erased = _erased(columns, shield)
        raw = dict(columns)
        for name, domain in shield.labels.items():
            columns[name] = _mapped(raw[name], partial(_label, shield, domain))
        for name in shield.sealed:
            columns[name] = _sealed(name, raw, shield, cipher)
        for name in shield.emptied:
            columns[name] = _without(columns[name], erased)
        for name in shield.remembered:
            seal = partial(sealing.seal, cipher, shield.nonce_key, context=(SEALED + name,))
            columns[SEALED + name] = _remembered(
                raw[name], columns[name], erased, known[name], seal
            )
        columns[ERASED] = pa.array(erased, pa.bool_())
        yield pa.RecordBatch.from_pydict(columns)


def _label(shield: Shield, domain: str, text: str) -> str:
    if not sealing.trimmed(text):
        return text  # blank: later judged as missing
    return sealing.pseudonym(shield.label_key, shield.tenant, domain, text)


def _mapped(column: pa.Array, function: Callable[[str], str]) -> pa.Array:
    """Return a column of texts with each text replaced; nulls are kept."""
    encoded = column.dictionary_encode()
    texts = [function(text) for text in encoded.dictionary.to_pylist()]
    return pa.array(texts, column.type).take(encoded.indices)


def _sealed(name: str, columns: Mapping[str, Any], shield: Shield, cipher: AESGCM) -> pa.Array:
    """Return a column with its texts encrypted, each in the context of its row."""
    texts = columns[name].to_pylist()
    places = [place for place, text in enumerate(texts) if text is not None]
    there = pa.array(places, pa.int64())
    context = zip(*(columns[key].take(there).to_pylist() for key in shield.row), strict=True)
    for place, row in zip(places, context, strict=True):
        texts[place] = sealing.seal(cipher, shield.nonce_key, texts[place], (name, *row))
    return pa.array(texts, columns[name].type)


def _erased(columns: Mapping[str, Any], shield: Shield) -> list[bool]:
    """Return for each row whether it is of an erased user, or is broken and names one."""
    some = next(iter(columns.values()))
    if not shield.erased or shield.user is None:
        return [False] * len(some)

    def is_erased(text: str) -> bool:
        return any(sealing.erased_hash(key, text) in hashes for key, hashes in shield.erased)

    users = columns[shield.user].dictionary_encode()
    hit = [is_erased(text) for text in users.dictionary.to_pylist()]
    erased = [index is not None and hit[index] for index in users.indices.to_pylist()]
    if shield.broken is None:
        return erased
    for row, is_broken in enumerate(columns[shield.broken].to_pylist()):
        text = columns[shield.text][row].as_py() if is_broken else None
        erased[row] = erased[row] or (text is not None and any(map(is_erased, _words(text))))
    return erased


def _words(text: str) -> set[str]:
    """Return all parts of a line that may be an id."""
    return {*_WORDS.findall(text), *_BETWEEN_FIELDS.split(text)} - {""}


def _without(column: pa.Array, erased: list[bool]) -> pa.Array:
    texts = column.to_pylist()
    left = [None if gone else text for text, gone in zip(texts, erased, strict=True)]
    return pa.array(left, column.type)


def _remembered(
    raw: pa.Array,
    labels: pa.Array,
    erased: list[bool],
    known: set[str],
    seal: Callable[[str], str],
) -> pa.Array:
    """Return the encrypted raw text in the first row of each pseudonym, null in other rows."""
    sealed: list[str | None] = []
    for text, label, gone in zip(raw.to_pylist(), labels.to_pylist(), erased, strict=True):
        if gone or label is None or label == text or label in known:
            sealed.append(None)
            continue
        known.add(label)
        sealed.append(seal(text))
    return pa.array(sealed, pa.string())
