"""The sections of the data report about the outcome of rows: the ledger and the quarantine."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from conf.ledger import Account, InputLedger
from conf.pages.blocks import Flow, Section, Table
from conf.pages.text import number, share
from conf.runs.inputs.input_files import InputFile
from etl.report.data import ReportData, RuleSamples
from etl.report.flow import NARROW, WIDE, flow, outcomes

_MOST_FILES = 100


def ledger_section(data: ReportData) -> Section:
    """Return the outcomes of the rows of every input, with a flow if there are several."""
    totals = {name: add_up(groups.values()) for name, groups in data.flows.items()}
    flows = [
        Flow(
            title=f"Rows of {name}",
            wide=flow(f"Flow of the rows of {name}", totals[name], groups, WIDE),
            narrow=flow(f"Flow of the rows of {name}", totals[name], groups, NARROW),
        )
        for name, groups in data.flows.items()
        if len(outcomes(totals[name])) > 1
    ]
    warnings = [list(warning) for warning in data.warnings]
    note = (
        "Kept rows are in the dataset. Dropped rows were left out by a cleaning rule, for example "
        "duplicates. Quarantined rows are invalid; they are stored in the folder quarantine of "
        "the dataset."
    )
    return Section(
        "ledger",
        "What happened to every row",
        note,
        flows=flows,
        tables=[
            *([Table("Warnings", ["input", "warning"], warnings, 2)] if warnings else []),
            *(_ledger_table(name, total) for name, total in totals.items()),
        ],
        folded=[_files_table(name, files) for name, files in data.files.items()],
    )


def matches_section(data: ReportData) -> Section | None:
    """Return how the ids of the tables fit those of the log, None if there is no table."""
    if not data.matches:
        return None
    note = (
        "Ids of the log are those of its kept events. An item or a user without a row has no "
        "title and no features. A share below a half most often means that the ids of the two "
        "are written in different ways."
    )
    rows = [
        [
            name,
            number(match.log_ids),
            number(match.log_ids_matched),
            share(match.log_ids_matched / max(match.log_ids, 1)),
            share(match.events_matched / max(match.events, 1)),
            number(match.table_ids),
            share(match.log_ids_matched / max(match.table_ids, 1)),
        ]
        for name, match in data.matches.items()
    ]
    header = [
        "table", "ids in the log", "with a row", "share", "share of events", "rows of the table",
        "share with an event",
    ]  # fmt: skip
    return Section("matches", "Tables and the log", note, tables=[Table("Ids", header, rows)])


def quarantine_section(data: ReportData) -> Section | None:
    """Return the quarantine rules with masked samples."""
    if not data.quarantine:
        return None
    note = (
        "The first rows that each rule put into quarantine. At most the first two characters of a "
        "value are shown. All quarantined rows are in the folder quarantine of the dataset."
    )
    tables = [_samples_table(rule) for rule in data.quarantine]
    return Section("quarantine", "Quarantine by rule", note, tables=tables)


def by_log(
    name: str, ledger: InputLedger, inputs: Mapping[str, Sequence[InputFile]]
) -> dict[str, Account]:
    """Return the accounts of the logs that make up an input.

    If logs share files, it is one account under the name of the input.
    """
    logs = {
        key.removeprefix(f"{name}."): [file.name for file in files]
        for key, files in inputs.items()
        if key.startswith(f"{name}.")
    }
    if sorted(file for files in logs.values() for file in files) != sorted(ledger.files):
        return {name: add_up([ledger])}
    return {log: add_up(ledger.files[file] for file in files) for log, files in logs.items()}


def add_up(accounts: Iterable[Account]) -> Account:
    """Return the sum of several accounts."""
    read, kept = 0, 0
    dropped: Counter[str] = Counter()
    quarantined: Counter[str] = Counter()
    for account in accounts:
        read, kept = read + account.rows_read, kept + account.rows_kept
        dropped.update(account.dropped)
        quarantined.update(account.quarantined)
    return Account(
        rows_read=read, rows_kept=kept, dropped=dict(dropped), quarantined=dict(quarantined)
    )


def _ledger_table(name: str, total: Account) -> Table:
    read = max(total.rows_read, 1)
    rows = [
        ["read", "", number(total.rows_read), ""],
        *(
            [end.kind, end.reason, number(end.rows), share(end.rows / read)]
            for end in outcomes(total)
        ),
    ]
    return Table(f"Rows of {name} by outcome", ["outcome", "reason", "rows", "share"], rows, 2)


def _files_table(name: str, files: Mapping[str, Account]) -> Table:
    largest = sorted(files.items(), key=lambda pair: (-pair[1].rows_read, pair[0]))
    rows = [
        [
            file,
            *map(
                number,
                (
                    account.rows_read,
                    account.rows_kept,
                    sum(account.dropped.values()),
                    sum(account.quarantined.values()),
                ),
            ),
        ]
        for file, account in largest[:_MOST_FILES]
    ]
    which = f", the {_MOST_FILES} largest of {number(len(files))}"
    caption = f"Files of {name}{which if len(files) > _MOST_FILES else ''}"
    return Table(caption, ["file", "rows read", "kept", "dropped", "quarantined"], rows)


def _samples_table(rule: RuleSamples) -> Table:
    header = list(rule.samples[0]) if rule.samples else []
    rows = [list(row.values()) for row in rule.samples]
    caption = f"{rule.rule} in {rule.input}: {number(rule.rows)} rows"
    return Table(caption, header, rows, len(header))
