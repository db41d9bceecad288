"""Advice about damaged files: none of it loses more than the file."""

from pathlib import Path

import pytest

from conf.errors import VersionError
from conf.workspace.json_files import read_json
from conf.workspace.mending import mend

SHOP = Path("/data/shop")


@pytest.mark.parametrize(
    ("path", "has", "lacks"),
    [
        ("erased/hashes.json", "do not remove it", "run again"),
        ("lists/CURRENT.json", "headrace outcome cannot count earlier days", "--kind"),
        ("models/CURRENT-ranker.json", "headrace train", "outcome"),
        ("lists/WITHDRAWN.json", "can be published again", "headrace score"),
        ("lists/DELIVERED.json", "remove it and run headrace deliver", "headrace score"),
        (
            "lists/a-1/part-00000.parquet",
            "headrace rollback --kind lists goes back to the one before, and the same command "
            "with --allow a-1 lets",
            "role",
        ),
        ("lists/a-1/similar_items/part-00000.parquet", f"remove {SHOP}/lists/a-1 and", "role"),
        ("datasets/a-1/manifest.json", f"remove {SHOP}/datasets/a-1 and run headrace etl", "role"),
        (
            "models/a-1",
            "(with --role, if its role is not main) goes back to the one before, and the same "
            "command with --allow a-1 lets it be published again; then remove "
            f"{SHOP}/models/a-1 and run headrace train",
            "etl",
        ),
        ("models/.work-1/state.pt", "remove it and run again", "rollback"),
        (".fingerprints.json", "remove it and run again", "rollback"),
    ],
)
def test_the_advice_fits_the_file(path: str, has: str, lacks: str) -> None:
    advice = mend(SHOP / path)
    assert has in advice and lacks not in advice
    assert advice.startswith("restore it")


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    path = tmp_path / "CURRENT.json"
    path.write_text(" \n")
    with pytest.raises(VersionError, match=r"CURRENT\.json is damaged: it is empty; restore it"):
        read_json(path)
