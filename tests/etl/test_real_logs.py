"""The stage on the logs that the published figures are about."""

import json
import tarfile
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from conf.settings.load import load_config
from tests.etl.making import make, read_part
from tests.packaging.checkout import CHECKOUT

DATA = CHECKOUT.parent / "shared" / "data"

pytestmark = pytest.mark.usefixtures("spark")


def require(folder: str) -> Path:
    if not (DATA / folder).is_dir():
        pytest.skip(f"{DATA / folder} is absent: its licence forbids to ship it")
    return DATA / folder


@pytest.mark.slow
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


@pytest.mark.slow
def test_online_retail(tmp_path: Path) -> None:
    archive = require("online_retail") / "by-day.tar.xz"
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "log", filter="data")
    config = load_config(
        CHECKOUT / "conf/online-retail.yaml",
        [f"input.root={tmp_path / 'log'}", f"run.output={tmp_path / 'out'}"],
    )
    manifest, folder = make(config)

    files = sorted((tmp_path / "log/by-day").glob("*.csv"))
    rows = pd.concat([pd.read_csv(path, dtype=str, keep_default_na=False) for path in files])
    known = rows[rows.CustomerID != ""]
    cancels, quantity = known.InvoiceNo.str.startswith("C"), known.Quantity.astype(int)
    low_price = known.UnitPrice.astype(float) <= 0
    products = known.StockCode.str.fullmatch(r"(\d{5}|DCGS)\w*")
    left = known[products & ~low_price]
    ledger = manifest.ledger["events"]
    assert ledger.rows_read == len(rows) == 541_909
    assert ledger.quarantined == {
        "user_missing": 135_080, "price_out_of_range": (low_price & products).sum(),
    }  # fmt: skip
    assert len(known) == 541_909 - 135_080
    assert not (quantity[~cancels] < 0).any()  # without a customer there are such
    assert ledger.dropped["item_excluded"] == (~products).sum()
    assert ledger.dropped["duplicate"] == left.duplicated().sum()
    netted = {reason: ledger.dropped[reason] for reason in (
        "cancelled", "cancellation", "cancellation_unmatched"
    )}  # fmt: skip
    assert netted == netted_by_hand(left.drop_duplicates())
    assert 4_000 < manifest.counts["users"] <= known.CustomerID.nunique() == 4_372
    titles = {row["item_id"]: row["title"] for row in read_part(folder, "items")}
    assert titles["85123A"] == "WHITE HANGING HEART T-LIGHT HOLDER"
    assert sum(title is None for title in titles.values()) < 0.01 * len(titles)


def netted_by_hand(rows: pd.DataFrame) -> dict[str, int]:
    """Return the counts of cancellations that stacks of purchases give."""
    stacks: dict[tuple[str, str, int], int] = {}
    matched = unmatched = 0
    cancels = rows.InvoiceNo.str.startswith("C")
    ordered = rows.assign(cancels=cancels).sort_values(["InvoiceDate", "cancels"], kind="stable")
    for user, item, text, cancel in zip(
        ordered.CustomerID, ordered.StockCode, ordered.Quantity, ordered.cancels, strict=True
    ):
        key = (user, item, abs(int(text)))
        stacks[key] = stacks.get(key, 0) + (-1 if cancel else 1)
        if cancel:
            matched, unmatched = matched + (stacks[key] >= 0), unmatched + (stacks[key] < 0)
            stacks[key] = max(stacks[key], 0)
    return {"cancelled": matched, "cancellation": matched, "cancellation_unmatched": unmatched}


@pytest.mark.slow
def test_the_given_parts_of_frappe_come_back_row_for_row(tmp_path: Path) -> None:
    root = require("frappe")
    config = load_config(
        CHECKOUT / "conf/frappe-x1.yaml", [f"input.root={root}", f"run.output={tmp_path}"]
    )
    _, folder = make(config)
    fields = list(config.etl.features.events.encodings)
    encoders = json.loads((folder / "encoders/impressions.json").read_text())
    values = {name: ["", "other", *encoders[name]["values"]] for name in fields}
    items = {row["item_idx"]: row["item_id"] for row in read_part(folder, "items")}
    users = {row["user_idx"]: row["user_id"] for row in read_part(folder, "users")}
    sizes = {"train": (202_027, 67_604), "valid": (57_722, 19_063), "test": (28_860, 9_536)}
    for part, (rows, positives) in sizes.items():
        given = pd.read_csv(root / f"frappe_x1_{part}.csv.gz", dtype=str)
        assert (len(given), (given.label == "1").sum()) == (rows, positives)
        made = read_part(folder, f"{part}_impressions")
        for name in ("item", *fields):  # what training lacks is one value to a model
            known = set(items.values() if name == "item" else values[name])
            given.loc[~given[name].isin(known), name] = "other"
        columns = given[["label", "user", "item", *fields]]
        assert Counter(columns.itertuples(index=False, name=None)) == Counter(
            (f"{row['label_used']:.0f}", users[row["user_idx"]],
             items.get(row["item_idx"], "other"),
             *(values[name][row[f"context_{name}"]] for name in fields))
            for row in made
        )  # fmt: skip


@pytest.mark.slow
def test_the_log_of_frappe_with_what_the_apps_are(tmp_path: Path) -> None:
    root = require("frappe")
    config = load_config(
        CHECKOUT / "conf/frappe.yaml", [f"input.root={root}", f"run.output={tmp_path}"]
    )
    manifest, folder = make(config)
    ledger = manifest.ledger
    assert ledger["events"].rows_read == ledger["events"].rows_kept == 96_203
    assert ledger["items"].rows_kept == 4_082
    assert ledger["items"].warnings[0].startswith("rating_unparsable: 550 of 4082")
    assert manifest.counts["users"] == 957
    uses = pd.read_csv(root / "frappe.csv.gz", sep="\t").user.value_counts()
    held_out = 5 * (uses >= 11).sum()  # of users with at least one more than the ten
    assert manifest.counts["valid"] == manifest.counts["test"] == held_out == 2_860
    made = {part: read_part(folder, f"{part}_impressions") for part in ("train", "valid", "test")}
    positives = {part: sum(row["label_used"] for row in rows) for part, rows in made.items()}
    assert positives == {"train": 96_203 - 2 * held_out, "valid": held_out, "test": held_out}
    # Two are drawn for each; those that are the user's own are taken out.
    assert all(len(rows) > 2.5 * positives[part] for part, rows in made.items())
    features = {row["item_idx"]: row for row in read_part(folder, "item_features")}
    assert len(features) == manifest.counts["items"]
    assert sum(row["item_rating"] == 0 for row in features.values()) > 300  # "unknown" is none
