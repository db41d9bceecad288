"""Whether the ids of the tables are those of the log: counts, and the likeliest reason if not."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial, reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from conf.ledger import Match
from conf.privacy.protection import Protection
from conf.privacy.sealing import unseal
from etl.cleaning.accounting.id_forms import Reason, find_reason, shape_of, shown
from etl.cleaning.inputs import Staged
from etl.cleaning.tables import ID_OF_TABLE
from etl.privacy.pseudonyms import SEALED

log = logging.getLogger(__name__)

_LEAST_SHARE = 0.5
_MOST_OF_LOG, _MOST_OF_TABLE = 1_000, 100_000
_TABLE, _ID = "__table", "__id"
_EVENTS, _IN_TABLE, _SEALED = "__events", "__in_table", "__sealed"


def match_tables(staged: Staged, protection: Protection) -> Staged:
    """Return the inputs, each table with its match; a table that hardly matches has a warning."""
    tables = {name: part for name, part in staged.items() if name in ID_OF_TABLE}
    if not tables:
        return staged
    events = staged["events"].kept()
    ids = _collected({name: (events, part.kept()) for name, part in tables.items()})
    matches = _count(ids, tables)
    matched = dict(staged)
    for name, part in tables.items():
        match, warnings = matches[name], part.warnings
        if _hardly_matches(match):
            of_table = ids.where(F.col(_TABLE) == name)
            warning = _warning(name, match, _reason(of_table, match, name, protection))
            log.warning("etl: input.%s: %s", name, warning)
            warnings = (*warnings, warning)
        matched[name] = replace(part, match=match, warnings=warnings)
    return matched


def _collected(pairs: Mapping[str, tuple[DataFrame, DataFrame]]) -> DataFrame:
    """Return one row per table and id: its events and whether the table has it, null if not there.

    If ids are labels, the encrypted raw id is there too.

    Args:
        pairs: The log's events and the table's rows, by the table's name.
    """
    rows = [
        frame.select(
            F.lit(name).alias(_TABLE),
            F.col(ID_OF_TABLE[name]).alias(_ID),
            F.lit(None if is_table else 1).cast("long").alias(_EVENTS),
            F.lit(True if is_table else None).cast("boolean").alias(_IN_TABLE),
            *_sealed(frame, SEALED + ID_OF_TABLE[name]),
        )
        for name, both in pairs.items()
        for is_table, frame in enumerate(both)
    ]
    together = reduce(partial(DataFrame.unionByName, allowMissingColumns=True), rows)
    raw = []
    if _SEALED in together.columns:
        in_log = F.max(F.when(F.col(_IN_TABLE).isNull(), F.col(_SEALED)))
        raw.append(F.coalesce(in_log, F.max(_SEALED)).alias(_SEALED))
    found = (F.sum(_EVENTS).alias(_EVENTS), F.max(_IN_TABLE).alias(_IN_TABLE), *raw)
    return together.groupBy(_TABLE, _ID).agg(*found)


def _sealed(rows: DataFrame, name: str) -> list[Column]:
    return [F.col(name).alias(_SEALED)] if name in rows.columns else []


def _count(ids: DataFrame, names: Iterable[str]) -> dict[str, Match]:
    """Return the match of each table."""
    events, in_table = F.col(_EVENTS), F.col(_IN_TABLE)
    counts = ids.groupBy(_TABLE).agg(
        F.count(events).alias("log_ids"),
        F.count(F.when(in_table, events)).alias("log_ids_matched"),
        F.coalesce(F.sum(events), F.lit(0)).alias("events"),
        F.coalesce(F.sum(F.when(in_table, events)), F.lit(0)).alias("events_matched"),
        F.count(in_table).alias("table_ids"),
    )
    of_table = {name: dict.fromkeys(Match.model_fields, 0) for name in names}
    for row in counts.collect():
        found = row.asDict()
        of_table[found.pop(_TABLE)] = found
    return {name: Match(**found) for name, found in of_table.items()}


def _hardly_matches(match: Match) -> bool:
    return (
        match.log_ids_matched < _LEAST_SHARE * match.log_ids
        or match.events_matched < _LEAST_SHARE * match.events
    )


def _reason(ids: DataFrame, match: Match, kind: str, protection: Protection) -> Reason | None:
    """Return the likeliest reason, looked for in bounded samples; its ids are shown as texts."""
    is_label = protection.has_pseudonyms and kind in protection.privacy.ids
    raw = _SEALED if is_label else _ID
    missing = ids.where(F.col(_IN_TABLE).isNull()).orderBy(F.desc(_EVENTS), _ID)
    known = ids.where(F.col(_IN_TABLE)).orderBy(F.xxhash64(_ID), _ID)
    samples = [
        [row[0] for row in frame.select(raw).limit(most).collect() if row[0] is not None]
        for frame, most in ((missing, _MOST_OF_LOG), (known, _MOST_OF_TABLE))
    ]
    if is_label:
        samples = [_opened(sample, protection) for sample in samples]
    share = _MOST_OF_TABLE / max(match.table_ids, 1)
    found = find_reason(samples[0], samples[1], share)
    if found is None or is_label:
        return found and found._replace(in_log="", in_table="")
    show = shape_of if kind == "users" else shown
    return found._replace(in_log=show(found.in_log), in_table=show(found.in_table))


def _opened(sealed: Sequence[str], protection: Protection) -> list[str]:
    assert protection.keys is not None  # labels need them
    cipher = protection.keys.cipher()
    return [unseal(cipher, text) for text in sealed]


def _warning(name: str, match: Match, reason: Reason | None) -> str:
    counts = (
        f"only {match.log_ids_matched} of the {match.log_ids} {name} of the log "
        f"({match.events_matched} of {match.events} events) have a row in this table of "
        f"{match.table_ids}"
    )
    if reason is None and match.log_ids_matched:
        return f"{counts}; no simple difference of the ids explains the others"
    if reason is None:
        return f"{counts}; no simple difference of the ids explains it: is id_column the right one?"
    example = f" ({reason.in_log} in the log, {reason.in_table} here)" if reason.in_log else ""
    return f"{counts}; the likeliest reason is {reason.told}{example}: write the ids alike in both"
