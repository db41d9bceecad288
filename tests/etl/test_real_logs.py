"""The stage on the logs that the published figures are about."""

from pathlib import Path

import pytest

from conf.load import load_config
from tests.etl.making import make, read_part

CHECKOUT = Path(__file__).parents[2]
DATA = CHECKOUT.parent / "shared" / "data"

pytestmark = pytest.mark.usefixtures("spark")


def require(folder: str) -> Path:
    if not (DATA / folder).is_dir():
        pytest.skip(f"{DATA / folder} is absent: its licence forbids to ship it")
    return DATA / folder


def test_movielens_100k(tmp_path: Path) -> None:
    root = require("ml-100k")
    config = load_config(
        CHECKOUT / "conf/movielens-100k.yaml", [f"input.root={root}", f"run.output={tmp_path}"]
    )
    manifest, folder = make(config)
    assert manifest.ledger["events"].rows_read == manifest.ledger["events"].rows_kept == 100_000
    assert manifest.ledger["items"].rows_kept == 1682
    assert manifest.counts["users"] == manifest.counts["valid"] == manifest.counts["test"] == 943
    # All events but each user's first and the two held out.
    assert manifest.counts["train_targets"] == 100_000 - 3 * 943
    assert len(manifest.files["train"]) == 8 * config.train.max_workers
    assert manifest.logical_date == "1998-04-22"
    items = {row["item_id"]: row for row in read_part(folder, "items")}
    assert items["543"]["title"] == "Misérables, Les (1995)"
    assert read_part(folder, "users")[0].keys() >= {"age", "occupation", "zip_code"}


@pytest.mark.slow
def test_beauty(tmp_path: Path) -> None:
    root = require("s3rec_beauty")
    config = load_config(
        CHECKOUT / "conf/beauty.yaml", [f"input.root={root}", f"run.output={tmp_path}"]
    )
    manifest, folder = make(config)
    assert manifest.counts["events"] == 198_502
    assert manifest.counts["users"] == 22_363
    assert manifest.ledger["events"].rows_read == 198_502
    assert manifest.logical_date == "undated"
    # The file's first user, in the order of its line.
    first = next(row for row in read_part(folder, "users") if row["user_id"] == "1")
    history = next(
        row for row in read_part(folder, "histories") if row["user_idx"] == first["user_idx"]
    )
    assert history["history_time"] == [1, 2, 3, 4, 5]
