"""How active the users of impressions are, whose lists of items are cut."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conf.contract import HISTORY_ITEMS, NUM_BEFORE, Column, Manifest
from conf.workspace.parquet import describe_parquet
from tests.trainer.impression_log import config_for, write_impressions
from trainer.evaluation.segments import by_activity
from trainer.ranking.figures import history_lengths
from trainer.ranking.layout import TEST_PART

MOST = 3
BEFORE = [0, 1, 3, 4, 12, 20, 33, 1999, 1_000_000]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """Write a dataset whose lists hold three items at most, and beside them how many there were."""
    workspace: Path = tmp_path_factory.mktemp("impressions")
    folder = workspace / "datasets/impressions"
    config = config_for(workspace, {}, impressions={"history_length": MOST})
    manifest = write_impressions(folder, config)
    lists = [[2] * min(count, MOST) for count in BEFORE]
    table = pa.table({
        HISTORY_ITEMS: pa.array(lists, pa.list_(pa.int32())),
        NUM_BEFORE: pa.array(np.log1p(BEFORE).astype(np.float32)),
    })  # fmt: skip
    path = folder / TEST_PART / "counted.parquet"
    pq.write_table(table, path, row_group_size=4)
    return folder, manifest.model_copy(
        update={"files": {**manifest.files, TEST_PART: (describe_parquet(folder, path),)}}
    )


def with_columns(manifest: Manifest, *names: str) -> Manifest:
    columns = tuple(Column(name=name, kind="numeric", dtype="any") for name in names)
    return manifest.model_copy(update={"columns": {**manifest.columns, TEST_PART: columns}})


def bins(lengths: np.ndarray | None, most: int | None) -> list[str]:
    assert lengths is not None
    names, places = by_activity(lengths, most)
    return [names[place] for place in places]


def test_events_are_counted_beyond_the_end_of_the_lists(made: tuple[Path, Manifest]) -> None:
    folder, manifest = made
    lengths, most = history_lengths(folder, with_columns(manifest, HISTORY_ITEMS, NUM_BEFORE))
    assert lengths is not None and lengths.tolist() == BEFORE and most is None
    assert bins(lengths, most) == [
        "0",
        "1-4",
        "1-4",
        "1-4",
        "10-19",
        "20-49",
        "20-49",
        "50+",
        "50+",
    ]


def test_without_the_count_what_the_lists_cannot_tell_apart_is_one_bin(
    made: tuple[Path, Manifest],
) -> None:
    folder, manifest = made
    lengths, most = history_lengths(folder, with_columns(manifest, HISTORY_ITEMS))
    assert bins(lengths, most) == ["0", *["1+"] * (len(BEFORE) - 1)]
    assert history_lengths(folder, with_columns(manifest)) == (None, None)
