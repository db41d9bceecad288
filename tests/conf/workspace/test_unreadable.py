"""A folder that may not be read is not an empty one."""

from pathlib import Path

import pytest

from tests.without_rights import run_without_rights

PRELUDE = """
import sys
from pathlib import Path
from types import SimpleNamespace
from conf.erasure.erase import _versions
from conf.errors import StorageError
from conf.privacy.erased import has_erased, read_erased
from conf.privacy.keys import _keys_from
from conf.workspace.folders import listed, manifests_of, tables_in
from conf.workspace.json_files import is_there
from conf.workspace.pointers import read_pointer
from conf.workspace.versions import find_version
workspace = Path(sys.argv[1])
keys = _keys_from("k" * 32, "key", "")
try:
    print(repr({call}))
except StorageError as error:
    print(type(error).__name__, error)
"""


CALLS = ('is_there(workspace / "x" / "y")', 'listed(workspace / "x")',
         'manifests_of(workspace, "lists")')  # fmt: skip


@pytest.mark.parametrize(
    ("closed", "call"),
    [
        ("erased", 'is_there(workspace / "erased" / "hashes.json")'),
        ("erased", "has_erased(workspace)"),
        ("erased", "read_erased(workspace, keys)"),
        ("lists", '_versions(workspace, "lists")'),
        ("lists/a-1", 'manifests_of(workspace, "lists")'),
        ("lists", 'find_version(workspace, "lists", "a" * 64)'),
        ("lists", 'read_pointer(workspace, "lists")'),
        ("lists", 'listed(workspace / "lists")'),
        ("lists/a-1", 'tables_in(workspace / "lists")'),
    ],
)
def test_what_may_not_be_read_stops_the_run(tmp_path: Path, closed: str, call: str) -> None:
    (tmp_path / "erased").mkdir()
    (tmp_path / "erased" / "hashes.json").write_text("{}")
    (tmp_path / "lists" / "a-1").mkdir(parents=True)
    (tmp_path / "lists" / "a-1" / "lists.json").write_text("{}")
    (tmp_path / closed).chmod(0)
    try:
        told = run_without_rights(PRELUDE.replace("{call}", call), str(tmp_path))
    finally:
        (tmp_path / closed).chmod(0o700)
    assert told.startswith("StorageError") and "Permission denied" in told


def test_a_folder_that_is_missing_is_empty(tmp_path: Path) -> None:
    told = run_without_rights(PRELUDE.replace("{call}", f"[{', '.join(CALLS)}]"), str(tmp_path))
    assert told == "[False, [], []]\n"
