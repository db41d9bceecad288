"""How numbers and times are written in the texts of an input."""

from dataclasses import dataclass

from conf.settings.files import Files


@dataclass(frozen=True)
class Notation:
    """How numbers and times are written."""

    decimal: str = "."
    thousands: str | None = None
    """Mark between groups of digits; None: there is none."""
    time_formats: tuple[str, ...] = ()
    """Patterns that are tried in order; empty: ISO 8601."""
    time_zone: str | None = None
    """Time zone of times without an offset; None: UTC."""


PLAIN = Notation()


def notation_of(source: Files) -> Notation:
    """Return how the texts of an input are written."""
    return Notation(source.decimal, source.thousands, source.time_format, source.local_time_zone)
