"""The configuration's section `privacy`: which data of a person may be read, stored and shown."""

import difflib
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, SecretStr, model_validator

from conf.settings.input import Input, InputField, TableSource
from conf.settings.section import Positive, Section

TimeUnit = Literal["minute", "hour", "day", "month", "year"]
WITH_KEY = ("pseudonym", "encrypt")
_STEPS = {"minute": 60_000_000, "hour": 3_600_000_000, "day": 86_400_000_000}
TIME, VALUE, TITLE = "time", "value", "title"


class ColumnRule(Section):
    """What happens to one field before it is stored."""

    method: Literal["keep", "drop", "mask", "generalise", "pseudonym", "encrypt"] = "keep"
    """keep: unchanged. drop: not read at all. mask: a part is replaced by ***. generalise: a band
    of numbers, a shorter text or a coarser time. pseudonym: a keyed label, the same for equal
    values. encrypt: base64 of AES-GCM, readable only with the key. pseudonym and encrypt need
    `privacy.key_file` or `privacy.key`."""
    first: Annotated[int, Field(ge=0)] = 0
    """With the method mask, characters at the beginning that stay visible."""
    last: Annotated[int, Field(ge=0)] = 0
    """With the method mask, characters at the end that stay visible."""
    email: bool = False
    """With the method mask, whether the first character and the domain of an e-mail stay
    visible."""
    step: Annotated[int, Field(ge=2)] | None = None
    """With the method generalise, width of a band of numbers: 10 turns 37 into the text 30-39. The
    method takes exactly one of step, keep and to."""
    keep: Positive | None = None
    """With the method generalise, characters at the beginning that are kept. The method takes
    exactly one of step, keep and to."""
    to: TimeUnit | None = None
    """With the method generalise, unit that an ISO time is cut to. The method takes exactly one of
    step, keep and to."""

    @model_validator(mode="after")
    def _settings_fit_the_method(self) -> "ColumnRule":
        ways = [name for name in ("step", "keep", "to") if getattr(self, name) is not None]
        if self.method == "generalise" and len(ways) != 1:
            raise ValueError(f"generalise takes one of step, keep and to; set are {ways or 'none'}")
        if self.method != "generalise" and ways:
            raise ValueError(f"{ways[0]} goes with the method generalise, not {self.method}")
        if self.method != "mask" and (self.first or self.last or self.email):
            raise ValueError(f"first, last and email go with the method mask, not {self.method}")
        return self


class Columns(Section):
    """Rules for the fields of the section `input`; a field without a rule is kept."""

    events: dict[str, ColumnRule] = {}
    """Rules by name of `input.events.NAME.fields`. Also for `time` (only generalise, to a unit up
    to a day) and `value` (drop, or generalise by step)."""
    items: dict[str, ColumnRule] = {}
    """Rules by name of `input.items.fields`. Also for `title`."""
    users: dict[str, ColumnRule] = {}
    """Rules by name of `input.users.fields`. Also for `title`."""


class Privacy(Section):
    """Which data of a person may be read, stored and shown."""

    mode: Literal["none", "pseudonymise"] = "none"
    """pseudonymise: keyed labels replace the ids in all that is written, and the rows in quarantine
    are encrypted. Needs `privacy.key_file` or `privacy.key`."""
    key_file: str | None = None
    """File that holds the key, a text of 32 characters or more. Excludes `privacy.key`."""
    key: SecretStr | None = None
    """The key itself, only as ${oc.env:NAME}; it is masked wherever the configuration is saved.
    Excludes `privacy.key_file`."""
    former_key_files: tuple[str, ...] = ()
    """Files of earlier keys. Their users stay erased, and their labels are found by `headrace
    erase` and `headrace show`. Keep a key here as long as users were erased with it."""
    former_keys: tuple[SecretStr | None, ...] = ()
    """Earlier keys themselves, only as ${oc.env:NAME}, like `privacy.key`."""
    key_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,40}$")] | None = None
    """Name of the key in manifests and receipts; null: a name derived from the key. Two keys must
    not have one name."""
    tenant: Annotated[str, Field(pattern=r"^[^\x00]*$")] = ""
    """Name of the tenant: the same id has another pseudonym for another tenant."""
    ids: Annotated[tuple[Literal["users", "items"], ...], Field(min_length=1)] = ("users",)
    """Ids that become pseudonyms. No effect without `privacy.mode: pseudonymise`."""
    columns: Columns = Columns()
    """What happens to single fields."""
    quasi_identifiers: tuple[str, ...] = ()
    """Fields of the users' table that together could identify a person. A combination that fewer
    than `privacy.k` users have is generalised further, and emptied if that is not enough."""
    k: Annotated[int, Field(ge=2)] = 5
    """Fewest users that share one combination of `privacy.quasi_identifiers`."""
    min_users_per_item: Positive = 1
    """Fewest distinct users of an item; items with fewer are left out of the catalogue. Above 1 it
    excludes `etl.catalogue: table`."""

    @property
    def needs_key(self) -> bool:
        """Whether the ETL needs the key."""
        tables = (self.columns.events, self.columns.items, self.columns.users)
        methods = {rule.method for rules in tables for rule in rules.values()}
        return self.mode == "pseudonymise" or bool(methods.intersection(WITH_KEY))

    @property
    def time_step(self) -> int:
        """Unit in microseconds that the times of events are cut to; 1 for exact times."""
        unit = self.columns.events.get(TIME, ColumnRule()).to
        return 1 if unit is None else _STEPS[unit]


def misfits(privacy: Privacy, source: Input) -> list[str]:
    """Return a message for each rule of `privacy` that does not fit the section `input`."""
    fields = {name for log in source.events.values() for name in log.fields}
    declared = {
        "events": {*fields, TIME, VALUE},
        "items": _names(source.items),
        "users": _names(source.users),
    }
    problems = []
    for table, names in declared.items():
        rules: Mapping[str, ColumnRule] = getattr(privacy.columns, table)
        problems += [_unknown(table, name, names) for name in rules if name not in names]
    return [
        *problems,
        *_event_misfits(privacy, source),
        *_quasi_misfits(privacy, source),
        *_typed_misfits(privacy, source),
    ]


def _typed_misfits(privacy: Privacy, source: Input) -> list[str]:
    """Return a message for each typed field whose text a rule changes."""
    events: dict[str, InputField] = {}
    for log in source.events.values():
        events |= log.fields
    fields = {
        "events": events,
        "items": source.items.fields if source.items is not None else {},
        "users": source.users.fields if source.users is not None else {},
    }
    problems = []
    for table, declared in fields.items():
        rules: Mapping[str, ColumnRule] = getattr(privacy.columns, table)
        changed = {name for name, rule in rules.items() if rule.method not in ("keep", "drop")}
        hidden = set(privacy.quasi_identifiers) if table == "users" else set()
        problems += [
            f"input.{table}: the field {name} has type={field.type!r} or a list of allowed texts, "
            "but the section privacy changes its text; make it a text without a list"
            for name, field in declared.items()
            if name in changed | hidden and (field.type != "text" or field.allowed)
        ]
    return problems


def _names(source: TableSource | None) -> set[str]:
    if source is None:
        return set()
    return {*source.fields, TITLE} if source.title_column is not None else set(source.fields)


def _unknown(table: str, name: str, names: set[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]}?" if near else f", only {', '.join(sorted(names)) or 'none'}"
    return f"privacy.columns.{table}.{name}: input.{table} declares no such field{hint}"


def _event_misfits(privacy: Privacy, source: Input) -> list[str]:
    rules, problems = privacy.columns.events, []
    time, value = rules.get(TIME, ColumnRule()), rules.get(VALUE, ColumnRule())
    if time.method != "keep" and time.to is None:
        problems.append(
            f"privacy.columns.events.time.method={time.method!r}: a time can only be kept or "
            "generalised to a unit; set method: generalise and to"
        )
    if time.to in ("month", "year"):
        problems.append(
            f"privacy.columns.events.time.to={time.to!r}: logical dates and splits need the "
            "day; set it to day or a smaller unit"
        )
    if time.to is not None and not source.is_dated:
        problems.append("privacy.columns.events.time: time_unit is 'order', which has no units")
    if value.method not in ("keep", "drop") and value.step is None:
        problems.append(
            f"privacy.columns.events.value.method={value.method!r}: a value can only be kept, "
            "dropped or generalised by step"
        )
    return problems


def _quasi_misfits(privacy: Privacy, source: Input) -> list[str]:
    problems = []
    fields = set(source.users.fields) if source.users is not None else set()
    for name in privacy.quasi_identifiers:
        method = privacy.columns.users.get(name, ColumnRule()).method
        if name not in fields:
            problems.append(
                f"privacy.quasi_identifiers: input.users.fields has no {name!r}, only "
                f"{', '.join(sorted(fields)) or 'none'}"
            )
        elif method not in ("keep", "generalise"):
            problems.append(
                f"privacy.quasi_identifiers: {name!r} has the method {method!r}; only a field "
                "with the method keep or generalise can be made coarser"
            )
    return problems
