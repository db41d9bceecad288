"""Whether the ids of the tables are those of the log: counts, and the likeliest reason if not."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from conf.contract import USER_ID
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
_EVENTS, _IN_TABLE = "__events", "__in_table"


def match_tables(staged: Staged, protection: Protection) -> Staged:
    """Return the inputs, each table with its match; a table that hardly matches has a warning."""
    events = staged["events"].kept()
    matched = {}
    for name, part in staged.items():
        if name not in ID_OF_TABLE:
            matched[name] = part
            continue
        both = _joined(events, part.kept(), ID_OF_TABLE[name])
        match = _count(both)
        warnings = part.warnings
        if _hardly_matches(match):
            warning = _warning(name, match, _reason(both, match, ID_OF_TABLE[name], protection))
            log.warning("etl: input.%s: %s", name, warning)
            warnings = (*warnings, warning)
        matched[name] = replace(part, match=match, warnings=warnings)
    return matched


def _joined(events: DataFrame, table: DataFrame, id_name: str) -> DataFrame:
    """Return one row per id: its events and whether the table has it, each null if it is not there.

    If ids are labels, SEALED + id holds the encrypted raw id.
    """
    sealed = SEALED + id_name
    of_log = events.groupBy(id_name).agg(
        F.count(F.lit(1)).alias(_EVENTS), *_sealed(events, sealed, "__sealed_in_log")
    )
    of_table = table.groupBy(id_name).agg(
        F.first(F.lit(True)).alias(_IN_TABLE), *_sealed(table, sealed, "__sealed_in_table")
    )
    both = of_log.join(of_table, id_name, "full_outer")
    texts = [F.col(name) for name in both.columns if name.startswith("__sealed_in")]
    raw = F.coalesce(*texts) if texts else F.col(id_name)
    return both.select(F.col(id_name), _EVENTS, _IN_TABLE, raw.alias("__raw"))


def _sealed(rows: DataFrame, sealed: str, name: str) -> list[Column]:
    return [F.max(sealed).alias(name)] if sealed in rows.columns else []


def _count(both: DataFrame) -> Match:
    events, in_table = F.col(_EVENTS), F.col(_IN_TABLE)
    row = both.agg(
        F.count(events).alias("log_ids"),
        F.count(F.when(in_table, events)).alias("log_ids_matched"),
        F.coalesce(F.sum(events), F.lit(0)).alias("events"),
        F.coalesce(F.sum(F.when(in_table, events)), F.lit(0)).alias("events_matched"),
        F.count(in_table).alias("table_ids"),
    ).head()
    assert row is not None  # an aggregate without groups has one row
    return Match(**row.asDict())


def _hardly_matches(match: Match) -> bool:
    return (
        match.log_ids_matched < _LEAST_SHARE * match.log_ids
        or match.events_matched < _LEAST_SHARE * match.events
    )


def _reason(both: DataFrame, match: Match, id_name: str, protection: Protection) -> Reason | None:
    """Return the likeliest reason, looked for in bounded samples; its ids are shown as texts."""
    missing = both.where(F.col(_IN_TABLE).isNull()).orderBy(F.desc(_EVENTS), id_name)
    known = both.where(F.col(_IN_TABLE)).orderBy(F.xxhash64(id_name), id_name)
    samples = [
        [row[0] for row in frame.select("__raw").limit(most).collect() if row[0] is not None]
        for frame, most in ((missing, _MOST_OF_LOG), (known, _MOST_OF_TABLE))
    ]
    kind = "users" if id_name == USER_ID else "items"
    is_label = protection.has_pseudonyms and kind in protection.privacy.ids
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
