"""Ways to damage one file of a workspace, drawn from a generator with a seed."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from conf.workspace.hashes import canonical_hash
from conf.workspace.json_files import CHECKSUM

_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 3.5, 10**30, "", "..", "a/b", "\0", [], {}, [[]], {"a": {}}, [None],
)  # fmt: skip
_CONTENTS = (
    b"", b"{}", b"[]", b"null", b"0", b'""', b"1e999", b"NaN", b'{"a": NaN}', b'{"a": 1, "a": 2}',
    b"\xff\xfe{}", b"[" * 100_000, b'{"a":' * 100_000, b'{"number": 1' + b"0" * 5000 + b"}",
    b'{"id": "x"}', b"\0" * 100,
)  # fmt: skip
Damage = Callable[[Path, Random], None]


def cut(path: Path, rng: Random) -> None:
    """Cut a file at a random place."""
    content = path.read_bytes()
    _replace(path, content[: rng.randrange(len(content) or 1)])


def flip(path: Path, rng: Random) -> None:
    """Flip one bit."""
    content = bytearray(path.read_bytes())
    if content:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    _replace(path, bytes(content))


def fill(path: Path, rng: Random) -> None:
    """Replace the content by one that JSON allows and we do not, or by none."""
    _replace(path, rng.choice(_CONTENTS))


def exchange(path: Path, rng: Random) -> None:
    """Exchange a file with another one of the workspace that ends alike."""
    root = next(parent for parent in path.parents if (parent / "datasets").is_dir())
    others = [p for p in sorted(root.rglob(f"*{path.suffix}")) if p.is_file() and p != path]
    if others:
        other = rng.choice(others)
        mine, theirs = path.read_bytes(), other.read_bytes()
        _replace(path, theirs)
        _replace(other, mine)


def retype(path: Path, rng: Random) -> None:
    """Give one value of a JSON file another type; the checksum stays, so that it is wrong."""
    _change(path, rng, reseal=False)


def reseal(path: Path, rng: Random) -> None:
    """Do so as a file of an older release, without a checksum, or with one that fits."""
    _change(path, rng, reseal=True)


def unplain(path: Path, rng: Random) -> None:
    """Put something that is no plain file in its place."""
    path.unlink()
    kind = rng.randrange(4)
    if kind == 0:
        os.mkfifo(path)
    elif kind == 1:
        path.mkdir()
    elif kind == 2:
        path.symlink_to("nowhere")
    else:
        path.symlink_to("/etc/passwd")


def vanish(path: Path, rng: Random) -> None:
    """Remove the file."""
    path.unlink()


DAMAGES: dict[str, Damage] = {
    "cut": cut, "flip": flip, "fill": fill, "exchange": exchange, "retype": retype,
    "reseal": reseal, "unplain": unplain, "vanish": vanish,
}  # fmt: skip
WEIGHTS = {"cut": 2, "flip": 6, "fill": 2, "exchange": 2, "retype": 1, "reseal": 3, "unplain": 1,
           "vanish": 1}  # fmt: skip
ONLY_JSON = ("retype", "reseal")
CHANGES_VALUES = ("reseal", "vanish")
"""Damages after which another value is right: one that fits the checksum, or an absent file."""


def _change(path: Path, rng: Random, *, reseal: bool) -> None:
    content = json.loads(path.read_bytes())
    places = list(_places(content))
    if not places:
        return
    holder, key = rng.choice(places)
    holder[key] = rng.choice(_VALUES)
    if reseal and isinstance(content, dict) and content.pop(CHECKSUM, None) and rng.random() < 0.5:
        content[CHECKSUM] = canonical_hash(content)
    _replace(path, json.dumps(content).encode())


def _places(value: Any) -> Any:
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, one in list(inner):
        yield value, key
        if isinstance(one, dict | list):
            yield from _places(one)


def _replace(path: Path, content: bytes) -> None:
    """Write a new file, as the old one may be a hard link to the sound workspace."""
    path.unlink()
    path.write_bytes(content)


def copied(source: Path, target: Path) -> Path:
    """Copy a workspace quickly: files are hard links, and are replaced when they change."""
    shutil.copytree(source, target, copy_function=os.link)
    return target
