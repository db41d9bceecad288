"""Where the examples lie and how cron reads one of them."""

import re
from dataclasses import dataclass

from tests.packaging.checkout import CHECKOUT

DEPLOY = CHECKOUT / "conf" / "deploy"
_FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


@dataclass(frozen=True)
class CronEntry:
    """The one entry of a crontab."""

    times: tuple[str, ...]
    environment: dict[str, str]
    command: str
    """What the shell gets: of `%`, only those behind a backslash, without it."""


def read_crontab(text: str) -> CronEntry:
    """Read a crontab as cron does and refuse what it would refuse or read otherwise."""
    environment: dict[str, str] = {}
    entries = []
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        setting = re.fullmatch(r"\s*([A-Za-z_]+)\s*=\s*(.*?)\s*", line)
        if setting:
            environment[setting[1]] = setting[2]
        else:
            entries.append(line)
    assert text.endswith("\n"), "cron leaves a last line without an end out"
    (entry,) = entries
    *times, command = entry.split(None, 5)
    for field, (lowest, highest) in zip(times, _FIELDS, strict=True):
        assert field == "*" or lowest <= int(field) <= highest
    assert not re.search(r"(?<!\\)%", command), "a bare % ends the command"
    return CronEntry(tuple(times), environment, command.replace("\\%", "%"))
