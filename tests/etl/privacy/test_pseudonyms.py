import subprocess
import sys
from dataclasses import replace
from typing import Any

import pyarrow as pa
from pyspark import cloudpickle

from conf.privacy.sealing import cipher_of, erased_hash, pseudonym, unseal
from etl.privacy.pseudonyms import ERASED, SEALED, Shield, shield_batches, shipped

LABEL, SEAL, GONE, EARLIER = b"label" * 7, b"s" * 32, b"gone" * 8, b"earlier!" * 4
SHIELD = Shield(
    label_key=LABEL, seal_key=SEAL, nonce_key=b"nonce", tenant="shop",
    labels={"user_id": "user"}, remembered=("user_id",), sealed=("raw",), row=("user_id",),
    user="user_id", broken="broken", text="raw",
    erased=((GONE, frozenset({erased_hash(GONE, "eve")})),
            (EARLIER, frozenset({erased_hash(EARLIER, "a.b@c")}))),
    emptied=("raw",),
)  # fmt: skip
# Somebody else's row may well hold an erased id; a broken line with it is taken for hers.
ROWS = [
    ("ann", "r1", False), ("ann", None, False), ("eve", "r2", False), (None, "x eve y", True),
    (" ", "r3", False), ("bob", "item eve", False), (None, '"q":"a.b@c"', True),
    ("x", "evening", True),
]  # fmt: skip
# Runs where none of our packages can be imported.
ELSEWHERE = """
import pickle, sys
class Nowhere:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("conf", "etl", "trainer", "serving"):
            raise ImportError(name)
sys.meta_path.insert(0, Nowhere())
import pyarrow as pa
function = pickle.loads(sys.stdin.buffer.read())
batch = pa.RecordBatch.from_pydict({"user_id": ["ann"], "raw": ["r1"], "broken": [False]})
print(next(function(iter([batch])))["user_id"][0].as_py())
"""


def batch(rows: list[Any]) -> pa.RecordBatch:
    names = ("user_id", "raw", "broken")
    return pa.RecordBatch.from_pydict(dict(zip(names, zip(*rows, strict=True), strict=True)))


def shielded(rows: list[Any], shield: Shield = SHIELD) -> list[dict[str, Any]]:
    batches = shield_batches(iter([batch(rows[:5]), batch(rows[5:])]), shield)
    return [row for found in batches for row in found.to_pylist()]


def test_labels_seals_and_erased_users() -> None:
    rows, cipher = shielded(ROWS), cipher_of(SEAL)
    ann, bob, x = (pseudonym(LABEL, "shop", "user", name) for name in ("ann", "bob", "x"))
    assert [row["user_id"] for row in rows] == [
        ann, ann, pseudonym(LABEL, "shop", "user", "eve"), None, " ", bob, None, x,
    ]  # fmt: skip
    assert [row[ERASED] for row in rows] == [
        False, False, True, True, False, False, True, False,
    ]  # fmt: skip
    raws = [None if row["raw"] is None else unseal(cipher, row["raw"]) for row in rows]
    assert raws == ["r1", None, None, None, "r3", "item eve", None, "evening"]
    # The raw id once for each label, and not for those who are erased.
    sealed = [row[SEALED + "user_id"] for row in rows]
    opened = [None if text is None else unseal(cipher, text) for text in sealed]
    assert opened == ["ann", None, None, None, None, "bob", None, "x"]


def test_equal_texts_are_sealed_alike_in_one_row_on_every_run_and_in_no_other() -> None:
    rows = [(user, "same", False) for user in ("ann", "bob", None, "x", "y", "ann")]  # two batches
    first, second = shielded(rows), shielded(rows)
    assert first == second
    sealed = [row["raw"] for row in first]
    assert sealed[0] == sealed[5] and len(set(sealed)) == 5
    assert None not in sealed


def test_without_erased_users_and_sealed_texts_only_ids_change() -> None:
    plain = replace(SHIELD, erased=frozenset(), sealed=(), emptied=(), remembered=())
    rows = shielded(ROWS, plain)
    assert [row["raw"] for row in rows] == [raw for _, raw, _ in ROWS]
    assert not any(row[ERASED] for row in rows)
    assert list(rows[0]) == ["user_id", "raw", "broken", ERASED]


def test_the_function_runs_where_there_is_no_package_of_ours() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE], input=cloudpickle.dumps(shipped(SHIELD)),
        capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().strip() == pseudonym(LABEL, "shop", "user", "ann")
