"""The ledger: what happened to each row of each input file, and whether too many were lost."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from types import MappingProxyType

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import InputError
from conf.ledger import Account, InputLedger
from conf.settings.etl import Budget
from etl.cleaning.accounting.hints import what_to_do
from etl.spark.columns import (
    BLANKED,
    CLOCK_FAULTS,
    DROPPED,
    EVENT_TYPE,
    ID_FAULT,
    LOG,
    OUTWEIGHS,
    QUARANTINED,
    SOURCE_FILE,
    TIME,
    VERDICT,
)

_EVENTS = "events"
_INPUT = "__input"


@dataclass(frozen=True)
class VerdictCount:
    """Rows of one file, log and event type with one verdict."""

    file: str
    verdict: str | None
    rows: int
    blanked: tuple[str, ...] = ()
    """Rules that set fields of these rows to null."""
    log: int | None = None
    """Number of the log; None for a table."""
    event_type: int | None = None
    """Number of the event type; None if it is not used, and for a table."""
    outweighing: int = 0
    """Rows whose type has a larger weight than the event kept in their place."""
    id_fault: str | None = None
    """Why the event ids of these rows identify nothing; None if they do, and for a table."""
    newest: int | None = None
    """Newest time of these rows; None if they have none, and for a table."""


@dataclass
class _Tally:
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)

    def add(self, verdict: str | None, rows: int) -> None:
        if verdict is None:
            self.kept += rows
        elif verdict.startswith(DROPPED):
            self.dropped[verdict.removeprefix(DROPPED)] += rows
        else:
            self.quarantined[verdict.removeprefix(QUARANTINED)] += rows

    def rows(self) -> int:
        return self.kept + self.dropped.total() + self.quarantined.total()

    def reasons(self) -> dict[str, dict[str, int]]:
        return {
            "dropped": dict(sorted(self.dropped.items())),
            "quarantined": dict(sorted(self.quarantined.items())),
        }


def count_verdicts(inputs: Mapping[str, DataFrame]) -> dict[str, list[VerdictCount]]:
    """Count the rows of each input by what was found out about them, in one query.

    Args:
        inputs: Rows with verdicts; those of `events` also by log, event type and event id's fault.
    """
    rows = reduce(DataFrame.unionByName, (_narrow(name, one) for name, one in inputs.items()))
    found = rows.groupBy(_INPUT, SOURCE_FILE, VERDICT, BLANKED, LOG, EVENT_TYPE, ID_FAULT).agg(
        F.count(F.lit(1)).alias("rows"),
        F.count_if(OUTWEIGHS).alias("outweighing"),
        F.max(TIME).alias("newest"),
    )
    counts: dict[str, list[VerdictCount]] = {name: [] for name in inputs}
    for row in sorted(found.collect(), key=repr):  # names in warnings follow this order
        counts[row[_INPUT]].append(
            VerdictCount(
                row[SOURCE_FILE],
                row[VERDICT],
                row["rows"],
                tuple(row[BLANKED] or ()),
                log=row[LOG],
                event_type=row[EVENT_TYPE],
                outweighing=row["outweighing"],
                id_fault=row[ID_FAULT],
                newest=row["newest"],
            )
        )
    return counts


def _narrow(name: str, judged: DataFrame) -> DataFrame:
    """Return what is counted of an input; a table's fields may have the names of events' columns.

    Columns that it lacks are null.
    """
    kinds = {LOG: "int", EVENT_TYPE: "int", ID_FAULT: "string", OUTWEIGHS: "boolean", TIME: "long"}
    has = {*judged.columns} if name == _EVENTS else {*judged.columns} - {*kinds}
    wanted = {BLANKED: "array<string>", **kinds}
    more = (
        F.col(column) if column in has else F.lit(None).cast(kind).alias(column)
        for column, kind in wanted.items()
    )
    return judged.select(F.lit(name).alias(_INPUT), SOURCE_FILE, VERDICT, *more)


def build_ledger(
    counts: Sequence[VerdictCount],
    files: Sequence[str],
    *,
    rows_read: int,
    rows_kept: int,
    budgets: Mapping[str, Budget] = MappingProxyType({}),
) -> InputLedger:
    """Return the ledger of one input, after checking that it balances.

    Args:
        counts: Number of rows by verdict.
        files: Names of all files of the input, including those without rows.
        rows_read: Number of rows counted while reading.
        rows_kept: Number of rows counted in the written files.
        budgets: Limits by rule, for warnings.

    Raises:
        RuntimeError: When rows are missing, which is a bug.
    """
    total, per_file = _Tally(), {name: _Tally() for name in sorted(files)}
    for count in counts:
        total.add(count.verdict, count.rows)
        per_file[count.file].add(count.verdict, count.rows)
    ledger = InputLedger(
        rows_read=rows_read,
        rows_kept=rows_kept,
        **total.reasons(),
        files={
            name: Account(rows_read=tally.rows(), rows_kept=tally.kept, **tally.reasons())
            for name, tally in per_file.items()
        },
        warnings=tuple(_warnings(counts, total, rows_read, budgets)),
    )
    if ledger.missing_rows() != 0 or total.kept != rows_kept:
        raise RuntimeError(
            f"the ledger does not balance: {ledger.missing_rows()} rows are missing, "
            f"{total.kept} were kept, {rows_kept} were written: {ledger}"
        )
    return ledger


def why_refused(
    name: str,
    counts: Iterable[VerdictCount],
    rows_read: int,
    max_bad_share: float,
    budgets: Mapping[str, Budget] = MappingProxyType({}),
) -> InputError | None:
    """Return what is wrong with an input as a whole, or None."""
    total = _Tally()
    for count in counts:
        total.add(count.verdict, count.rows)
    if rows_read == 0:
        return InputError(f"input.{name} has no rows; check input.{name}.paths and the delivery")
    bad = total.quarantined.total()
    if bad > max_bad_share * rows_read:
        hint = what_to_do(total.quarantined.most_common(1)[0][0])
        return InputError(
            f"input.{name}: {bad} of {rows_read} rows are bad "
            f"({_listed(total.quarantined)}), which is more than "
            f"etl.clean.max_bad_share={max_bad_share} allows{f'; {hint}' if hint else ''}"
        )
    spent = list(_overspent(total, rows_read, budgets, "stop_above"))
    if spent:
        return InputError(f"input.{name}: {'; '.join(spent)}")
    if total.kept == 0 and not total.dropped["after_logical_date"]:  # else there is no new data
        return InputError(
            f"input.{name}: none of {rows_read} rows is left; dropped: {_listed(total.dropped)}; "
            f"quarantined: {_listed(total.quarantined)}"
        )
    return None


def _warnings(
    counts: Iterable[VerdictCount], total: _Tally, rows_read: int, budgets: Mapping[str, Budget]
) -> Iterator[str]:
    yield from _overspent(total, rows_read, budgets, "warn_above")
    blanked = Counter[str]()
    for count in counts:
        if count.verdict is None:
            blanked.update(dict.fromkeys(count.blanked, count.rows))
    for rule, rows in sorted(blanked.items()):
        yield f"{rule}: {rows} of {total.kept} rows kept {_consequence(rule)}"


def _consequence(rule: str) -> str:
    """Return what became of the field of a row to which a rule applied."""
    passed_over, shown_twice = CLOCK_FAULTS
    if rule.endswith(passed_over):
        return "have a local time that the clocks pass over, which was moved forward by the gap"
    if rule.endswith(shown_twice):
        return "have a local time that the clocks show twice, of which the first was taken"
    return "have no value in that field"


def _overspent(
    total: _Tally, rows_read: int, budgets: Mapping[str, Budget], limit: str
) -> Iterator[str]:
    """Yield a sentence for each rule that removed more rows than its budget's `limit` allows."""
    taken = total.dropped + total.quarantined
    for rule, budget in sorted(budgets.items()):
        share = getattr(budget, limit)
        if share is not None and taken[rule] > share * rows_read:
            yield (
                f"{rule} removed {taken[rule]} of {rows_read} rows, more than "
                f"etl.clean.budgets.{rule}.{limit}={share} allows"
            )


def _listed(reasons: Counter[str]) -> str:
    return ", ".join(f"{reason} {rows}" for reason, rows in reasons.most_common()) or "none"
