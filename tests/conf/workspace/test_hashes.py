from typing import Any

from conf.contract import DataFile, Manifest, Vocabulary
from conf.ledger import Account, InputLedger
from conf.workspace.hashes import with_content

FILE = DataFile(path="users/part-00000.parquet", bytes=9, sha256="a", rows=2)
LEDGER = InputLedger(rows_read=2, rows_kept=2, files={"a.csv": Account(rows_read=2, rows_kept=2)})


def content_of(**changes: Any) -> str:
    manifest = Manifest(
        id="tiny", request="r", logical_date="2026-01-31", as_of="2026-01-31T00:00:00Z", config={},
        columns={}, files={"users": (FILE,)}, event_types=("view",), counts={"users": 2},
        vocabularies={"user": Vocabulary(size=4, fingerprint="f")}, ledger={"events": LEDGER},
    )  # fmt: skip
    return with_content(manifest.model_copy(update=changes)).content


def test_the_content_is_what_was_made_and_not_where_or_how() -> None:
    warned = LEDGER.with_warnings(("3.csv has no column price",))
    elsewhere = {"id": "other", "request": "q", "config": {"spark": {}}, "content": "before",
                 "leak_check": {"rows": 1}, "ledger": {"events": warned}}  # fmt: skip
    assert content_of(**elsewhere) == content_of()
    changed: list[dict[str, Any]] = [
        {"files": {"users": (FILE.model_copy(update={"sha256": "b"}),)}},
        {"files": {"items": (FILE,)}},
        {"ledger": {"events": LEDGER.model_copy(update={"rows_kept": 1, "dropped": {"bot": 1}})}},
        {"vocabularies": {"user": Vocabulary(size=4, fingerprint="g")}},
        {"event_types": ("view", "buy")},
    ]
    assert len({content_of(), *(content_of(**change) for change in changed)}) == 6
