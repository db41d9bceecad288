"""Damage any file of a workspace in any way: it is told in one line, or the right value is read.

A workspace is made once and copied for each case; one file is damaged, and everything that reads
it is run. Allowed are the value of the sound workspace, and an error that names what is wrong.
"""

import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import FrameType

import pytest
import torch

from conf.errors import HeadraceError, VersionError
from tests.damage.damages import CHANGES_VALUES, DAMAGES, ONLY_JSON, WEIGHTS, copied
from tests.damage.workspaces import (
    Reader,
    erasable_readers,
    make_erasable,
    make_shop,
    shop_readers,
)

_MOST_SECONDS = 30
_PLAIN_USES = 2
SUFFIXES = (".json", ".parquet", ".safetensors", ".log", ".pt", ".html")
_READ_BY_NOBODY = "report.html"
Kinds = tuple[tuple[Path, list[Reader]], ...]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in memory, if there is one: each write is synchronised with the disk."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path_factory.mktemp("damage")
        return
    with tempfile.TemporaryDirectory(dir=memory, ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.fixture(scope="module")
def kinds(place: Path) -> Kinds:
    """The two sound workspaces, and what reads them."""
    shop, erasable = (place / name for name in ("shop", "erasable"))
    make_shop(shop)
    make_erasable(erasable)
    return (shop, shop_readers()), (erasable, erasable_readers())


@contextmanager
def _not_endless() -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError("an endless wait")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(_MOST_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _outcome(reader: Reader, workspace: Path) -> tuple[str, object]:
    """Return how a use ended, and what it read."""
    try:
        with _not_endless():
            return "read", repr(reader.read(workspace))
    except HeadraceError as error:
        told = str(error)
        is_one_line = "\n" not in told and "Traceback" not in told
        kind = type(error).__name__ if is_one_line else f"{type(error).__name__} of many lines"
        return f"exit {error.exit_code}, {kind}", told
    except Exception as error:  # what must not happen, whatever it is
        return "traceback", repr(error)


def _count(kinds: Kinds, folder: Path, cases: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Run cases; return their outcomes by number, and what must not happen."""
    outcomes: Counter[str] = Counter()
    faults: list[str] = []
    right = {}
    for sound, readers in kinds:
        for reader in readers:
            own = copied(sound, folder / "sound") if reader.writes else sound
            right[reader.name] = _outcome(reader, own)
            assert right[reader.name][0] == "read", right[reader.name]
            _removed(folder / "sound")
    for case in range(cases):
        rng = Random(seed * 1_000_003 + case)
        sound, readers = kinds[rng.random() < 0.3]
        found = _case(rng, sound, readers, folder / f"case-{case}", right)
        for name, (outcome, told) in found.items():
            outcomes[outcome] += 1
            if outcome in ("traceback", "another value") or "many lines" in outcome:
                faults.append(f"case {case}: {name}: {outcome}: {told}")
        _removed(folder / f"case-{case}")
    return outcomes, faults


def _case(
    rng: Random, sound: Path, readers: list[Reader], folder: Path, right: dict[str, object]
) -> dict[str, tuple[str, object]]:
    """Damage one file of a copy; return the outcome of each use, by its name and the damage's."""
    files = [p for p in sorted(sound.rglob("*")) if p.suffix in SUFFIXES and p.is_file()]
    files = [path for path in files if path.name != _READ_BY_NOBODY]
    relative = rng.choice(files).relative_to(sound)
    allowed = [d for d in DAMAGES if relative.suffix == ".json" or d not in ONLY_JSON]
    damage = rng.choices(allowed, [WEIGHTS[d] for d in allowed])[0]
    workspace = copied(sound, folder)
    DAMAGES[damage](workspace / relative, rng)
    plain = [reader for reader in readers if not reader.writes]
    uses = rng.sample(plain, min(_PLAIN_USES, len(plain)))
    uses += [rng.choice([reader for reader in readers if reader.writes])]
    found = {}
    for reader in uses:
        outcome, told = _outcome(reader, workspace)
        if outcome == "read":
            is_right = ("read", told) == right[reader.name]
            may_differ = damage in CHANGES_VALUES or _is_older_checkpoint(reader, told)
            outcome = "the right value" if is_right else "another value"
            if not is_right and may_differ:
                outcome = "what the file says" if damage in CHANGES_VALUES else "an older one"
        found[f"{reader.name} after {damage} of {relative}"] = outcome, told
    return found


def _is_older_checkpoint(reader: Reader, told: object) -> bool:
    """Return whether an older checkpoint, or none, was read instead of a damaged one."""
    allowed = [repr({"weights": _weights(number)}) for number in range(3)]
    return reader.name == "checkpoint" and (told == "None" or told in allowed)


def _weights(number: int) -> object:
    return torch.full((9,), number)


def _removed(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _table(outcomes: Counter[str]) -> str:
    return "\n".join(f"{count:8,}  {outcome}" for outcome, count in outcomes.most_common())


def test_no_damage_is_a_traceback_or_another_value(kinds: Kinds, place: Path) -> None:
    outcomes, faults = _count(kinds, place, cases=300, seed=1)

    assert not faults, "\n".join(faults[:20])
    assert outcomes["the right value"] and outcomes["exit 6, VersionError"], _table(outcomes)
    assert VersionError.exit_code == 6


@pytest.mark.slow
def test_no_damage_of_ten_thousand_is_a_traceback_or_another_value(
    kinds: Kinds, place: Path
) -> None:
    outcomes, faults = _count(kinds, place, cases=10_000, seed=2)

    print(_table(outcomes))
    assert not faults, "\n".join(faults[:20])
