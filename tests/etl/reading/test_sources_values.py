"""What a raw value says comes back byte for byte, or its line is broken."""

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from conf.errors import InputError
from tests.etl.making import write_lines
from tests.etl.read_rows import check, read

IDS = [
    "007", "7", "7.0", "1E5", "100000.0", "null", "NULL", "None", "NaN", "Infinity", "true",
    "x" * 300, "🙂", "\u00e9", "e\u0301", "../x", "=1+1", str(2**53 + 1), str(2**64 - 1), "-0",
    "0x10", "\\N", " lead", "trail ", "a,b", 'say "hi"', '"', "a'b", "%41", "#x", "\u00a0x",
    "tab\tin", "back\\slash", "\u0130I\u0131i",
]  # fmt: skip
MANY_LINED = ["a\nb", "a\r\nb", "a\n\nb", 'a"\n"b']


def write_csv(path: Path, ids: list[str], line_break: str, first: str = "") -> Path:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator=line_break)
    writer.writerows([("user", "item"), *((id_, number) for number, id_ in enumerate(ids))])
    path.write_bytes((first + out.getvalue()).encode())
    return path


def values(rows: list[tuple[object, ...]]) -> list[object]:
    """Return the first value of rows none of which is broken."""
    assert not any(row[1] for row in rows)
    return [row[2] for row in rows]


def test_csv_values_come_back_as_they_are(spark: SparkSession, tmp_path: Path) -> None:
    unix = write_csv(tmp_path / "1.csv", IDS, "\n")
    windows = write_csv(tmp_path / "2.csv", IDS, "\r\n", first="\ufeff")
    assert values(read(spark, tmp_path, unix, windows)) == IDS * 2


def test_csv_values_of_several_lines_come_back_as_they_are(
    spark: SparkSession, tmp_path: Path
) -> None:
    ids = [*IDS, *MANY_LINED]
    unix = write_csv(tmp_path / "1.csv", ids, "\n")
    windows = write_csv(tmp_path / "2.csv", ids, "\r\n", first="\ufeff")
    assert values(read(spark, tmp_path, unix, windows, multiline=True)) == ids * 2


def test_json_values_come_back_as_they_are(spark: SparkSession, tmp_path: Path) -> None:
    ids = [*IDS, *MANY_LINED]
    texts = [json.dumps({"user": id_, "item": 1}, ensure_ascii=number % 2 == 0)
             for number, id_ in enumerate(ids)]  # fmt: skip
    bare = ["7", "true", str(2**64 - 1), "12345678901234567890123"]
    inner = [f'{{"user": {text}, "item": 1}}' for text in bare]
    rewritten = [f'{{"user": {text}, "item": "1.5"}}' for text in ("1E5", "1.50", "-0.0", "1E999")]
    path = tmp_path / "a.jsonl"
    path.write_bytes(("\ufeff" + "\n".join([*texts, *inner, *rewritten])).encode())
    rows = read(spark, tmp_path, path, format="jsonl")
    assert values(rows[: -len(rewritten)]) == [*ids, *bare]
    assert [row[1] for row in rows[-len(rewritten) :]] == [True] * len(rewritten)


def test_json_values_within_objects_come_back_as_they_are(
    spark: SparkSession, tmp_path: Path
) -> None:
    good = ['"007"', "7", '"1E5"', "true", str(2**64 - 1), '"\\ud83d\\ude42 \\"x\\""']
    lines = [f'{{"by": {{"user": {text}}}, "items": [{{"id": {text}}}, 2]}}' for text in good]
    faults = [
        '{"by": {"user": 1, "user": 2}, "items": [{"id": 3}]}',  # which of the two?
        '{"by": {"user": 1}, "items": [{"id": 3}]}}',
        '{"by": {"user": 1}, "items": [{"id": 3}]} {"by": {"user": 2}}',
        '{"by": {"user": 1}, "items": [{"id": 3}]}, {"by": {"user": 2}}',
        "{'by': {'user': 1}}",
        '{"by": {"user": 1E5}, "items": [{"id": 3}]}',
    ]
    missing = ['{"by": "user", "items": []}', '{"by": null, "items": {"id": 1}}', "{}"]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([*lines, *faults, *missing]))
    columns = {"user_id": "by.user", "item_id": "items[0].id"}
    rows = read(spark, tmp_path, path, columns=columns, format="jsonl")
    assert [row[1:] for row in rows[: len(good)]] == [
        (False, text, text) for text in ("007", "7", "1E5", "true", str(2**64 - 1), '🙂 "x"')
    ]
    assert [row[1] for row in rows[len(good) :]] == [True] * len(faults) + [False] * len(missing)
    assert [row[2:] for row in rows[-len(missing) :]] == [(None, None)] * len(missing)


def test_json_ids_that_spark_would_make_others_are_broken(
    spark: SparkSession, tmp_path: Path
) -> None:
    good = [r'"a\ud83d\ude42?"', '"[1]"', '"{}"', '"?"']
    bad = [r'"\ud83d"', r'"\uDE42?"', r'"\ude42\ud83d"', "[1]", '{"id": 1}']
    flat = [f'{{"user": {text}, "item": 1, "text": "x"}}' for text in (*good, *bad)]
    elsewhere = [r'{"user": "u", "item": 1, "text": "cut \ud83d"}',
                 f'{{"user": "u", "item": 1, "text": {"[" * 3000}{"]" * 3000}}}']  # fmt: skip
    path = write_lines(tmp_path / "a.jsonl", *flat, *elsewhere)
    rows = read(spark, tmp_path, path, format="jsonl")
    assert values(rows[: len(good)]) == ["a\U0001f642?", "[1]", "{}", "?"]
    assert [row[1] for row in rows[len(good) :]] == [True] * len(bad) + [False, True]
    inner = [f'{{"by": {{"user": {text}}}, "items": [{text}]}}' for text in (*good, *bad)]
    path = write_lines(tmp_path / "b.jsonl", *inner)
    columns = {"user_id": "by.user", "item_id": "items[0]"}
    rows = read(spark, tmp_path, path, columns=columns, format="jsonl")
    assert [row[1] for row in rows] == [False] * len(good) + [True] * len(bad)
    assert [row[2] for row in rows[: len(good)]] == [row[3] for row in rows[: len(good)]]


def test_bytes_in_parquet_that_are_no_text_break_an_id_and_are_marked_elsewhere(
    spark: SparkSession, tmp_path: Path
) -> None:
    user = pa.array([b"\xff", b"\xfe", "caf\u00e9".encode(), b"u"])
    note = pa.array([b"a", b"b", b"caf\xe9", None])
    pq.write_table(pa.table({"user": user, "item": [1] * 4, "note": note}), tmp_path / "a.parquet")
    columns = {"user_id": "user", "item_id": "item", "note": "note"}
    rows = read(spark, tmp_path, tmp_path / "a.parquet", columns=columns, format="parquet")
    assert [row[1] for row in rows] == [True, True, False, False]
    assert [(row[2], row[4]) for row in rows[2:]] == [("caf\u00e9", "caf\ufffd"), ("u", None)]


def test_parquet_values_come_back_as_they_are(spark: SparkSession, tmp_path: Path) -> None:
    ids = [*IDS, *MANY_LINED]
    pq.write_table(pa.table({"user": ids, "item": [1] * len(ids)}), tmp_path / "a.parquet")
    assert values(read(spark, tmp_path, tmp_path / "a.parquet", format="parquet")) == ids


def test_lines_that_are_half_a_row_are_broken(spark: SparkSession, tmp_path: Path) -> None:
    lines = {
        b"u,1": False, b'v,"2': True, b'2",3': True, b"w,3": False, b'"x,4': True,
        b'"y"z,5': False, b"a\x00b,6": False, b'"7",8': False, b"u,1,more": True,
        b'n,13" tv': True, b'"13"" tv",9': False, b'"""",9': False, b"pad,9": False,
        b"caf\xe9,10": True, b"u,caf\xe9": True, b'"o""pen,1': True, b'"o""pen",1': False,
    }  # fmt: skip
    texts = list(lines)
    texts[12:13] *= 2000  # so that the garbled lines are not seen beforehand
    path = tmp_path / "a.csv"
    path.write_bytes(b"\n".join([b"user,item", *texts]))
    rows = read(spark, tmp_path, path)
    assert [row[1] for row in rows] == [lines[text] for text in texts]
    assert [row[2:] for row in rows if not row[1] and row[2] != "pad"] == [
        ("u", "1"), ("w", "3"), ('"y"z', "5"), ("a\x00b", "6"), ("7", "8"),
        ('13" tv', "9"), ('"', "9"), ('o"pen', "1"),
    ]  # fmt: skip


def test_a_quote_that_is_never_closed_swallows_no_lines(tmp_path: Path) -> None:
    swallowing = write_lines(tmp_path / "a.csv", "user,item", 'u,"1', "v,2", "w,3")
    sound = write_lines(tmp_path / "b.csv", "user,item", 'u,"1', '2"', 'v,13" tv')
    with pytest.raises(InputError) as caught:
        check(tmp_path, [swallowing, sound], multiline=True)
    assert "a.csv: has a quote in line 2 that is never closed; 2 lines follow" in str(caught.value)
    assert "b.csv" not in str(caught.value)
