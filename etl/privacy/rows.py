"""Apply the section `privacy` to rows: which method is used for which column."""

from collections.abc import Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.contract import ITEM_ID, USER_ID, PrivacyReport
from conf.privacy.protection import Protection
from conf.settings.config import Config
from conf.settings.privacy import TIME, TITLE, VALUE, ColumnRule
from etl.privacy.anonymity import anonymise, measure
from etl.privacy.generalise import cut_time, floored, reduced
from etl.privacy.pseudonyms import ERASED, Shield, shield_rows
from etl.spark import columns as c

LINE_UNPARSABLE = c.QUARANTINED + "line_unparsable"
_EVENTS, _USERS = "events", "users"
_TEXTS = (c.RAW, c.TIME_TEXT, c.TYPE_TEXT, c.VALUE_TEXT)
_DOMAINS = {USER_ID: "user", ITEM_ID: "item", c.EVENT_ID: "event"}
_KINDS = {USER_ID: "users", ITEM_ID: "items"}

Rules = Mapping[str, ColumnRule]


def without_dropped(config: Config) -> Config:
    """Return the configuration without the fields that are dropped, so nothing reads them."""
    source, rules = config.input, config.privacy.columns
    logs = {}
    for name, log in source.events.items():
        value = None if _drops(rules.events, VALUE) else log.columns.value
        columns = log.columns.model_copy(update={"value": value})
        fields = {key: f for key, f in log.fields.items() if not _drops(rules.events, key)}
        logs[name] = log.model_copy(update={"columns": columns, "fields": fields})
    tables = {}
    for table, of_table in (("items", rules.items), ("users", rules.users)):
        found = getattr(source, table)
        if found is not None:
            fields = {key: f for key, f in found.fields.items() if not _drops(of_table, key)}
            title = None if _drops(of_table, TITLE) else found.title_column
            found = found.model_copy(update={"fields": fields, "title_column": title})
        tables[table] = found
    changed = source.model_copy(update={"events": logs, **tables})
    return config.model_copy(update={"input": changed})


def reduce_fields(rows: DataFrame, table: str, protection: Protection) -> DataFrame:
    """Mask and generalise the fields of one input.

    Excluded are the quasi-identifiers of users and the times and values of events; `hide_users`
    and `coarsen_events` handle them later.
    """
    later = protection.privacy.quasi_identifiers if table == _USERS else (TIME, VALUE)
    rules = rules_of(table, protection)
    wanted = [name for name in rules if name in rows.columns and name not in later]
    return rows.withColumns({name: reduced(name, rules[name]) for name in wanted})


def shield_events(judged: DataFrame, protection: Protection) -> DataFrame:
    """Shield the rows of all logs after the row rules, and drop those of erased users."""
    judged = _without_texts(judged, _EVENTS, protection)
    is_broken = F.coalesce(F.col(c.VERDICT) == LINE_UNPARSABLE, F.lit(False))
    marked = judged.withColumn(c.BROKEN, is_broken)
    if protection.has_pseudonyms:  # the item of a broken line may be any text
        marked = marked.withColumn(ITEM_ID, F.when(~F.col(c.BROKEN), F.col(ITEM_ID)))
    return drop_erased(_shielded(marked, _EVENTS, protection)).drop(c.BROKEN)


def shield_table(rows: DataFrame, table: str, protection: Protection) -> DataFrame:
    """Shield the rows of a table as read; call `drop_erased` afterwards."""
    return _shielded(_without_texts(rows, table, protection), table, protection)


def drop_erased(judged: DataFrame) -> DataFrame:
    """Drop the rows of erased users, whatever their verdict was."""
    if ERASED not in judged.columns:
        return judged
    verdict = F.when(F.col(ERASED), c.DROPPED + "erased").otherwise(F.col(c.VERDICT))
    return judged.withColumn(c.VERDICT, verdict).drop(ERASED)


def hide_users(judged: DataFrame, protection: Protection) -> DataFrame:
    """Make the users table k-anonymous if quasi-identifiers are configured."""
    privacy = protection.privacy
    if not privacy.quasi_identifiers:
        return judged
    return anonymise(judged, privacy.quasi_identifiers, privacy.columns.users, privacy.k)


def coarsen_events(events: DataFrame, protection: Protection) -> DataFrame:
    """Generalise times and values; to be called after all rules that need exact ones."""
    rules = protection.privacy.columns.events
    time, value = rules.get(TIME, ColumnRule()), rules.get(VALUE, ColumnRule())
    if time.to is not None:
        events = events.withColumn(c.TIME, cut_time(c.TIME, time.to))
    if value.step is not None:
        events = events.withColumn(c.VALUE, floored(c.VALUE, value.step))
    return events


def rules_of(table: str, protection: Protection) -> Rules:
    """Return the rules of one input's fields, by column name."""
    rules: Rules = getattr(protection.privacy.columns, table)
    if table != _EVENTS:
        return rules
    return {name if name in (TIME, VALUE) else c.FIELD + name: rule for name, rule in rules.items()}


def label_ids(rows: DataFrame, protection: Protection) -> DataFrame:
    """Replace the user and item ids of raw events by their pseudonyms in the dataset."""
    keys = protection.keys
    labels = {
        name: domain
        for name, domain in _labels(rows.columns, _EVENTS, protection).items()
        if name in _KINDS
    }
    if keys is None or not labels:
        return rows
    return shield_rows(
        rows,
        Shield(
            label_key=keys.label,
            seal_key=keys.seal,
            nonce_key=keys.nonce,
            tenant=keys.tenant,
            labels=labels,
            remembered=(),
            sealed=(),
            row=(),
            user=USER_ID,
            broken=c.BROKEN,
            text=c.RAW,
            erased=(),
            emptied=(),
        ),
    ).drop(ERASED)


def report_privacy(protection: Protection, users: DataFrame | None) -> PrivacyReport | None:
    """Return the privacy report of a dataset, None if nothing is protected.

    Args:
        protection: The configured protection.
        users: The kept rows of the users table, if there is one.
    """
    privacy = protection.privacy
    methods = {
        f"{table}.{name}": rule.method
        for table in ("events", "items", "users")
        for name, rule in getattr(privacy.columns, table).items()
    }
    is_on = protection.has_pseudonyms or methods or privacy.quasi_identifiers
    if not is_on and privacy.min_users_per_item == 1:
        return None
    reached = None
    if privacy.quasi_identifiers and users is not None:
        reached = measure(users, privacy.quasi_identifiers)
    return PrivacyReport(
        mode=privacy.mode,
        key_id=protection.keys.key_id if protection.keys else None,
        key_check=protection.keys.check if protection.keys else None,
        tenant=privacy.tenant,
        ids=privacy.ids if protection.has_pseudonyms else (),
        methods=methods,
        quasi_identifiers=privacy.quasi_identifiers,
        k_asked=privacy.k if reached else None,
        k_reached=reached.k if reached else None,
        rows_generalised=reached.rows_generalised if reached else 0,
        rows_suppressed=reached.rows_suppressed if reached else 0,
        min_users_per_item=privacy.min_users_per_item,
    )


def _shielded(rows: DataFrame, table: str, protection: Protection) -> DataFrame:
    """Shield the rows if there is anything to protect."""
    keys, has = protection.keys, rows.columns
    labels, sealed = _labels(has, table, protection), _sealed(has, table, protection)
    of_user = protection.erased if USER_ID in has else ()
    erased = tuple((users.key, users.hashes) for users in of_user)
    if keys is None or not (labels or sealed or erased):
        return rows
    return shield_rows(
        rows,
        Shield(
            label_key=keys.label,
            seal_key=keys.seal,
            nonce_key=keys.nonce,
            tenant=keys.tenant,
            labels=labels,
            remembered=tuple(name for name in _KINDS if name in labels),
            sealed=sealed,
            row=tuple(name for name in (USER_ID, ITEM_ID, c.RAW) if name in has),
            user=USER_ID if USER_ID in has else None,
            broken=c.BROKEN,
            text=c.RAW,
            erased=erased,
            emptied=tuple(name for name in _TEXTS if name in has),
        ),
    )


def _labels(has: list[str], table: str, protection: Protection) -> dict[str, str]:
    """Return the columns that are replaced by pseudonyms, with the domain of each."""
    rules = rules_of(table, protection)
    labels = {
        name: f"{table}.{name.removeprefix(c.FIELD)}"
        for name in rules
        if rules[name].method == "pseudonym"
    }
    if protection.has_pseudonyms:
        wanted = [name for name in _DOMAINS if _KINDS.get(name, "users") in protection.privacy.ids]
        labels |= {name: _DOMAINS[name] for name in wanted}
    return {name: domain for name, domain in labels.items() if name in has}


def _sealed(has: list[str], table: str, protection: Protection) -> tuple[str, ...]:
    """Return the columns that are encrypted."""
    rules = rules_of(table, protection)
    sealed = [name for name in rules if rules[name].method == "encrypt"]
    texts = _TEXTS if protection.has_pseudonyms else ()
    return tuple(name for name in (*sealed, *texts) if name in has)


def _without_texts(rows: DataFrame, table: str, protection: Protection) -> DataFrame:
    """Set raw texts to null if a rule hides a part of them and they are not encrypted."""
    if protection.has_pseudonyms or not rules_of(table, protection):
        return rows
    texts = [name for name in _TEXTS if name in rows.columns]
    return rows.withColumns({name: F.lit(None).cast("string") for name in texts})


def _drops(rules: Rules, name: str) -> bool:
    return name in rules and rules[name].method == "drop"
