"""What manifests say of the rows that a stage read: each is kept, dropped or quarantined."""

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A part of a manifest: it is never changed, and has no other keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Account(Record):
    """What happened to the rows of one input, or of one of its files."""

    rows_read: int
    rows_kept: int
    dropped: dict[str, int] = {}
    quarantined: dict[str, int] = {}

    def missing_rows(self) -> int:
        """Return the number of unaccounted rows; 0 in every committed version."""
        dropped, quarantined = sum(self.dropped.values()), sum(self.quarantined.values())
        return self.rows_read - self.rows_kept - dropped - quarantined


class Match(Record):
    """How the ids of a table fit those of the log's kept events."""

    log_ids: int
    """Distinct ids in the log."""
    log_ids_matched: int
    """Those of them that have a row in the table."""
    events: int
    events_matched: int
    """Events whose id has a row in the table."""
    table_ids: int
    """Rows of the table, one per id."""


class InputLedger(Account):
    """The account of one input, and of each of its files."""

    files: dict[str, Account] = {}
    warnings: tuple[str, ...] = ()
    """What a person should look at, without stopping the run: a missing column, a budget."""
    match: Match | None = None
    """Only for tables; None after an erasure."""

    def with_warnings(self, more: tuple[str, ...]) -> "InputLedger":
        """Return the account with further warnings before its own."""
        return self.model_copy(update={"warnings": (*more, *self.warnings)})
