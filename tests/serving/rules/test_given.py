"""The fresher table of items and lists of items: what is read, and what is refused."""

import gzip
import json
import logging
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conf.contract import PrivacyReport
from conf.errors import ConfigError, InputError
from conf.privacy.sealing import pseudonym
from conf.runs.inputs.list_files import list_files
from conf.runs.inputs.request_keys import lists_request
from serving.rules.reading.given import read_given
from serving.rules.reading.item_lists import read_item_list
from tests.serving.random_shop import Shop, best_allowed, random_shop

KEY = "k" * 40
FIELDS = "{stock: {type: integer}, price: {type: number}, ends: {type: time, column: end}}"


def shop_with(
    tmp_path: Path, text: str | bytes, *overrides: str, name: str = "now.csv", **more: Any
) -> Shop:
    (tmp_path / "in").mkdir(exist_ok=True, parents=True)
    path = tmp_path / "in" / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return random_shop(
        tmp_path / "shop", 2, f"input.root={tmp_path / 'in'}", "score.rules.where.a='stock > 1'",
        f"score.items_now={{paths: [{name}], fields: {FIELDS}}}", *overrides, **more,
    )  # fmt: skip


def rows_of(numbers: range, **changed: str) -> str:
    lines = [f"i{n},{n % 4},{n / 10},2026-02-01" for n in numbers]
    return "\n".join(["item_id,stock,price,end", *(changed.get(line[:3], line) for line in lines)])


@pytest.mark.parametrize("missing", ["leave_out", "keep"])
def test_the_fresher_table_replaces_fields_and_says_what_is_sold(
    tmp_path: Path, missing: str
) -> None:
    rules = ["score.rules.where.b='ends > run_date and price < 3'"] if missing != "keep" else []
    shop = shop_with(tmp_path, rows_of(range(2, 32)), f"score.items_now.missing={missing}", *rules)

    lists, counted = shop.lists()

    def may_get(user: int, item: int) -> bool:
        if item in shop.histories[user]:
            return False
        old = shop.items[item - 2]["stock"]
        stock = item % 4 if item < 32 else (None if missing == "leave_out" else old)
        return stock is not None and stock > 1 and (missing == "keep" or item / 10 < 3)

    expected = best_allowed(shop, may_get, 4)
    assert [[row["item_id"] for row in rows] for rows in lists] == [
        [f"i{item}" for item in items] for items in expected
    ]
    assert counted.counts["rule_violations"] == counted.counts["unexplained"] == 0
    counts = shop.given().counts["score.items_now"]
    assert counts["rows_read"] == 30 and counts["missing_items"] == 10


@pytest.mark.parametrize("form", ["csv", "csv.gz", "jsonl", "parquet"])
def test_each_format_gives_the_same_table(tmp_path: Path, form: str) -> None:
    plain = shop_with(tmp_path / "plain", rows_of(range(2, 42))).given().now
    content: bytes | str = rows_of(range(2, 42))
    rows = [{"item_id": f"i{n}", "stock": n % 4, "price": n / 10, "end": "2026-02-01"}
            for n in range(2, 42)]  # fmt: skip
    if form == "csv.gz":
        content = gzip.compress(str(content).encode())
    if form == "jsonl":
        content = "\n".join(json.dumps(row) for row in rows)
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x")
        content = (tmp_path / "x").read_bytes()
    name = form.removesuffix(".gz")

    shop = shop_with(tmp_path, content, f"score.items_now.format={name}", name=f"now.{form}")

    assert plain is not None and shop.given().now == plain
    assert plain.column("stock").to_pylist() == [n % 4 for n in range(2, 42)]


def test_bad_rows_and_values_are_counted_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = rows_of(range(2, 42), i30="i30,many,0.5,2026-02-01")
    text += "\n,1,1,2026-02-01\ni5,1,0.5,2026-02-01\nnone,1,1,2026-02-01\ni7,3"
    shop = shop_with(tmp_path, text)

    with caplog.at_level(logging.WARNING):
        counts = shop.given().counts["score.items_now"]

    assert counts == {
        "rows_read": 44, "rows_broken": 1, "rows_without_id": 1, "equal_duplicates": 1,
        "unknown_items": 1, "missing_items": 0, "bad_values_stock": 1,
    }  # fmt: skip
    for told in ("rows broken: 1", "rows without id: 1", "bad values stock: 1"):
        assert told in caplog.text
    assert "many" not in caplog.text


def test_whole_numbers_may_be_written_with_a_point(tmp_path: Path) -> None:
    wanted = {
        "2.0": 2, " 3.": 3, "1e3": 1000, "9007199254740993.0": 2**53 + 1, "-4.00": -4,
        "2.5": None, "inf": None, "nan": None, "9.3e18": None, "two": None, "1e400": None,
        "-1e400": None,
    }  # fmt: skip
    rows = {f"i{n}": f"i{n},{one},0.5,2026-02-01" for n, one in enumerate(wanted, start=30)}
    given = shop_with(tmp_path, rows_of(range(2, 42), **rows)).given()

    assert given.now is not None
    assert given.now.column("stock").to_pylist()[28:] == [*wanted.values()]
    assert given.counts["score.items_now"]["bad_values_stock"] == 7


def test_values_of_json_lines_and_parquet_are_judged_one_by_one(tmp_path: Path) -> None:
    section = "score.items_now.format="
    rows = {n: f'{{"item_id": "i{n}", "stock": {n % 4}, "price": 1, "end": "x\u2028"}}'
            for n in range(2, 42)}  # fmt: skip
    rows |= {
        n: f'{{"item_id": "i{n}", "stock": {stock}, "price": 1, "end": null}}'
        for n, stock in ((2, "1e300"), (3, "9" * 4_000), (4, "9" * 5_000), (5, "[" * 10_000))
    }
    text = "\ufeff" + "\r\n".join(rows.values())
    given = shop_with(tmp_path / "a", text, f"{section}jsonl", name="now.jsonl").given()
    assert given.now is not None
    assert given.now.column("stock").to_pylist()[:6] == [None] * 4 + [6 % 4, 7 % 4]
    counts = given.counts["score.items_now"]
    assert (counts["rows_broken"], counts["bad_values_stock"], counts["missing_items"]) == (2, 2, 2)

    decimals = [Decimal("3.00"), Decimal("1e30"), Decimal("1.50"), *([Decimal(0)] * 37)]
    columns = {"item_id": [f"i{n}" for n in range(2, 42)], "stock": decimals,
               "price": [1.0] * 40, "end": [None] * 40}  # fmt: skip
    pq.write_table(pa.table(columns), tmp_path / "now")
    content = (tmp_path / "now").read_bytes()
    given = shop_with(tmp_path / "b", content, f"{section}parquet", name="now.parquet").given()
    assert given.now is not None
    assert given.now.column("stock").to_pylist() == [3, None, None, *([0] * 37)]


def test_rows_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    text = rows_of(range(2, 42)) + "\ni5,3,0.5,2026-02-01"
    with pytest.raises(InputError, match=r"item 'i5' in row 4 of file 1 and in row 41 of file 1"):
        shop_with(tmp_path, text).given()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            rows_of(range(2, 12)),
            r"10 of the 40 items .* \(0\.25\), but .*\.min_share",
        ),
        ("item_id,stock\ni2,3\n", "has no column price, end; it has item_id, stock"),
        (b"item_id,stock,price,end\n\xff\xfe,1,1,1\n", "cannot be read as csv"),
        (f"item_id,stock,price,end,{'x' * 200_000}\n", "cannot be read as csv"),
        ("item_id,stock,price,end,stock\ni2,1,1,,2\n", "has the column stock more than once"),
    ],
)
def test_a_table_that_cannot_be_the_shops_is_refused(
    tmp_path: Path, text: str | bytes, told: str
) -> None:
    with pytest.raises(InputError, match=told):
        shop_with(tmp_path, text).given()


def test_a_field_with_another_type_than_in_the_dataset_is_refused(tmp_path: Path) -> None:
    shop = shop_with(tmp_path, rows_of(range(2, 42)), "score.items_now.fields.price.type=text")
    with pytest.raises(ConfigError, match=r"items_now\.fields\.price is of the type string"):
        shop.scorer()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    shop = random_shop(
        tmp_path, 1, f"input.root={tmp_path}", "score.rules.deny.sold={path: gone/sold.txt}"
    )
    with pytest.raises(InputError, match=r"score\.rules\.deny\.sold: no file matches 'gone/sold"):
        list_files(shop.config)


def test_a_list_of_items_is_one_file(tmp_path: Path) -> None:
    shop = shop_with(tmp_path, rows_of(range(2, 9)), "score.rules.deny.sold={path: 'sold-*.txt'}")
    for name in ("sold-1.txt", "sold-2.txt"):
        (tmp_path / "in" / name).write_text("i2\n")
    with pytest.raises(InputError, match=r"sold\.path='sold-\*\.txt' matches 2 files, among"):
        list_files(shop.config)


def test_other_content_makes_other_lists(tmp_path: Path) -> None:
    def request() -> str:
        return lists_request(shop.config, "d", "m", files=list_files(shop.config))

    shop = shop_with(tmp_path, rows_of(range(2, 42)))
    before = request()
    (tmp_path / "in" / "now.csv").write_text(rows_of(range(2, 41)))
    assert request() != before
    (tmp_path / "in" / "now.csv").write_text(rows_of(range(2, 42)))
    assert request() == before


@pytest.mark.parametrize("seed", range(3))
def test_lists_of_items_allow_and_deny(tmp_path: Path, seed: int) -> None:
    (tmp_path / "deny.txt").write_text("i2\ni3\n\ni4\ngone\n")
    (tmp_path / "deny.csv").write_text('name,item_id\n"a, b",i5\nc,i6\n')
    (tmp_path / "allow.txt").write_text("\ufeff" + "\n".join(f"i{n}" for n in range(2, 30)))
    shop = random_shop(
        tmp_path / "shop", seed, f"input.root={tmp_path}",
        "score.rules.deny.a={path: deny.txt}",
        "score.rules.deny.b={path: deny.csv, where: 'user.region = ''north'''}",
        "score.rules.allow.c={path: allow.txt, where: user.budget > 6}",
    )  # fmt: skip

    def may_get(user: int, item: int) -> bool:
        fields = shop.users[user]
        return not (
            item in shop.histories[user]
            or item in (2, 3, 4)
            or (item in (5, 6) and fields["region"] == "north")
            or (item >= 30 and fields["budget"] > 6)
        )

    lists, counted = shop.lists()

    assert [[row["item_id"] for row in rows] for rows in lists] == [
        [f"i{item}" for item in items] for items in best_allowed(shop, may_get, 4)
    ]
    assert counted.counts["rule_violations"] == counted.counts["unexplained"] == 0
    assert shop.given().counts["score.rules.deny.a"] == {"listed_ids": 4, "unknown_ids": 1}


def test_the_users_of_a_list_are_chosen_by_fields_of_users(tmp_path: Path) -> None:
    (tmp_path / "deny.txt").write_text("i2\n")
    shop = random_shop(
        tmp_path / "shop", 1, f"input.root={tmp_path}",
        "score.rules.deny.a={path: deny.txt, where: stock > 1}",
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"deny\.a\.where uses fields of items \(stock\)"):
        shop.scorer()


def test_ids_are_labelled_as_in_the_dataset_and_not_told(tmp_path: Path) -> None:
    report = PrivacyReport(
        mode="pseudonymise", key_id="k1", tenant="t", ids=("users", "items"), methods={}
    )
    (tmp_path / "key").write_text(KEY)
    private = [f"privacy={{mode: pseudonymise, key_file: {tmp_path / 'key'}, tenant: t}}"]
    text = rows_of(range(2, 42))
    shop = shop_with(tmp_path, text, *private, privacy=report)
    labels = [pseudonym(KEY.encode(), "t", "item", f"i{n}") for n in range(2, 42)]
    files = list_files(shop.config)

    given = read_given(shop.config, shop.manifest, pa.array([None, None, *labels]), files)

    assert given.has_row is not None and given.has_row.all()
    (tmp_path / "in" / "now.csv").write_text(text + "\ni5,3,0.5,2026-02-01")
    with pytest.raises(InputError, match="an item in row 4 of file 1") as caught:
        read_given(shop.config, shop.manifest, pa.array([None, None, *labels]), files)
    assert "i5" not in str(caught.value)


def test_a_csv_without_the_column_of_items_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "deny.csv"
    path.write_text("id,x\ni2,1\n")
    with pytest.raises(InputError, match=r"rules\.deny\.sold: .*has the columns id, x; name"):
        read_item_list("score.rules.deny.sold", path)
    path.write_text("item_id,x\ni2,1\n")
    assert read_item_list("score.rules.deny.sold", path) == ["i2"]
