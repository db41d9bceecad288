"""Paths with characters that mean something in URLs, in patterns or to a shell."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from conf.workspace.hashes import hash_file
from etl.spark.columns import SHARD
from etl.spark.folders import store
from etl.spark.paths import absolute, location, locations, path_of_row, target
from etl.spark.shards import write_shards

ODD = [
    "a b", "a#b", "a%b", "a%20b", "a?b", "é", "e\u0301", "a+b", "a,b", "{a,b}", "a{", "[ab]", "a]",
    "a*b", "a\\b", "a\\[b", "a'b", 'a"b', "a&b", "k=v", "a;b", "a$b", "${a}", "~a", "a|b", "日本",
    "a:b", ":a", " a ", "%", "-a", "_a", ".a",
]  # fmt: skip


@pytest.fixture(scope="module")
def frame(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One Parquet file, whose copies are read."""
    folder = tmp_path_factory.mktemp("plain") / "rows"
    store(spark.range(3).coalesce(1), folder)
    (file,) = folder.glob("*.parquet")
    return file


@pytest.mark.parametrize("name", ODD)
def test_spark_writes_where_python_reads_and_reads_it_back(
    spark: SparkSession, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / name / "rows"
    stored = store(spark.range(3).coalesce(1), folder)
    assert sum(pq.read_metadata(path).num_rows for path in folder.glob("*.parquet")) == 3
    assert stored.count() == 3
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", [name for name in ODD if name[0] not in "_." and ":" not in name])
def test_rows_have_the_path_of_exactly_their_file(
    spark: SparkSession, frame: Path, tmp_path: Path, name: str
) -> None:
    files = [tmp_path / name / f"{name}.parquet", tmp_path / name / "ab.parquet"]
    files[0].parent.mkdir()
    for file in files:
        file.write_bytes(frame.read_bytes())
    rows = spark.read.parquet(*locations(files[:1])).select(path_of_row()).collect()
    assert [row[0] for row in rows] == [absolute(files[0])] * 3


def test_shards_are_in_the_folder_of_that_name(spark: SparkSession, tmp_path: Path) -> None:
    rows = spark.range(4).withColumnRenamed("id", SHARD).selectExpr(SHARD, f"{SHARD} AS n")
    folder = tmp_path / "my {shop}, #1 [100%]?"
    write_shards(rows, ["n"], folder / "part", folder / "scratch")
    assert [path.name for path in sorted(folder.rglob("*.parquet"))] == [
        f"part-{number:05d}.parquet" for number in range(4)
    ]
    assert len({hash_file(path) for path in folder.rglob("*.parquet")}) == 4


def test_a_way_up_after_a_link_leads_where_the_system_finds_it(
    spark: SparkSession, tmp_path: Path
) -> None:
    (tmp_path / "far/deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far/deep")
    folder = tmp_path / "link/../rows"
    store(spark.range(3), folder)
    assert (tmp_path / "far/rows").is_dir() and not (tmp_path / "rows").exists()
    assert target(folder) == target(tmp_path / "far/rows") == location(tmp_path / "far/rows")


def test_two_links_to_one_file_are_two_paths(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    links = [tmp_path / "b", tmp_path / "c"]
    for link in links:
        link.symlink_to(tmp_path / "file")
    assert locations(links) == [f"file://{link}" for link in links]
