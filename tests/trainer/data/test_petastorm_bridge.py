import logging
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.packaging.checkout import CHECKOUT
from tests.trainer.data.test_stream import write_table
from trainer.data import petastorm_bridge
from trainer.data.stream import read_row_groups

NUMBERS = (
    pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(),
    pa.float32(), pa.float64(), pa.bool_(),
)  # fmt: skip

FRESH_IMPORT = """
import sys
import numpy, pyarrow, pyarrow.parquet
names = {m: set(dir(m)) for m in (numpy, pyarrow, pyarrow.parquet)}
values = {(m, n): getattr(m, n, None) for m in names for n in names[m]}
import trainer.data.petastorm_bridge as bridge
assert "petastorm.reader" in sys.modules
for module, before in names.items():
    # submodules that were imported meanwhile become attributes; nothing else may be new
    new = {n for n in set(dir(module)) - before if f"{module.__name__}.{n}" not in sys.modules}
    assert not new, (module, new)
for (module, name), value in values.items():
    assert getattr(module, name, None) is value, (module, name)
for gone in ("filesystem", "hdfs"):
    assert not hasattr(pyarrow, gone) and f"pyarrow.{gone}" not in sys.modules, gone
for gone in ("unicode_", "string_"):
    assert not hasattr(numpy, gone), gone
import petastorm.reader
assert petastorm.reader.pq is not pyarrow.parquet
assert pyarrow.parquet.ParquetDataset.__module__.startswith("pyarrow")
"""


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )


def test_pyarrow_and_numpy_are_untouched_and_nothing_is_printed():
    result = run_python(FRESH_IMPORT)
    assert result.returncode == 0, result.stderr
    assert (result.stdout, result.stderr) == ("", "")


def test_petastorm_alone_cannot_be_imported_so_the_bridge_is_needed():
    result = run_python("import petastorm")
    assert result.returncode == 1
    assert "No module named 'pyarrow.filesystem'" in result.stderr


def test_import_loads_no_spark_and_no_torch():
    code = (
        "import sys, trainer.data.stream\n"
        "print({'pyspark', 'torch', 'tensorflow'} & set(sys.modules))"
    )
    assert run_python(code).stdout.strip() == "set()"


def test_dataset_metadata_is_never_unpickled():
    import petastorm.etl.dataset_metadata
    import petastorm.reader

    assert petastorm_bridge.Dataset.common_metadata is None
    assert petastorm_bridge.Dataset.metadata is None
    inference = petastorm.etl.dataset_metadata.infer_or_load_unischema
    assert petastorm.reader.infer_or_load_unischema is not inference


def test_another_release_of_petastorm_is_refused():
    with pytest.raises(ImportError, match=r"petastorm 0\.12\.1 is .*install petastorm==0\.13\.1"):
        petastorm_bridge._require_petastorm("0.13.1")


def test_petastorm_logs_errors_only():
    assert not logging.getLogger("petastorm.reader").isEnabledFor(logging.WARNING)
    assert logging.getLogger("petastorm.reader").isEnabledFor(logging.ERROR)


@pytest.mark.parametrize("kind", NUMBERS, ids=str)
def test_every_type_equals_bare_arrow(tmp_path, kind):
    numbers = np.random.default_rng(5).integers(0, 2 if kind == pa.bool_() else 100, 60)
    values = pa.array(numbers).cast(kind)
    offsets = pa.array([0, 3, 3, 20, 59, 60], pa.int32())
    table = pa.table({
        "scalar": values[:5],
        "list": pa.ListArray.from_arrays(offsets, values),
        "large": pa.LargeListArray.from_arrays(offsets.cast(pa.int64()), values),
        "vector": pa.FixedSizeListArray.from_arrays(values, 12),
    })  # fmt: skip
    groups = write_table(tmp_path, table, row_group_rows=[3, 2])
    bare = pq.ParquetFile(tmp_path / "train/part.parquet")
    dtype = np.dtype(kind.to_pandas_dtype())
    for group, columns in read_row_groups(tmp_path, groups, table.column_names):
        expected = bare.read_row_group(group.index)
        assert columns["scalar"].dtype == columns["vector"].dtype == dtype
        assert columns["scalar"].tolist() == expected["scalar"].to_pylist()
        assert columns["vector"].shape == (group.rows, 12)
        assert columns["vector"].tolist() == expected["vector"].to_pylist()
        for name in ("list", "large"):
            values, offsets = columns[name][:2]
            assert values.dtype == dtype and offsets.dtype == np.int64
            assert offsets[0] == 0 and offsets[-1] == len(values)
            found = [row.tolist() for row in np.split(values, offsets[1:-1])]
            assert found == expected[name].to_pylist()


def test_integers_above_two_to_the_53_and_nan_stay_as_they_are(tmp_path):
    table = pa.table({"id": [2**63 - 1, -(2**63)], "price": [float("nan"), -0.0]})
    groups = write_table(tmp_path, table, row_group_rows=[2])
    ((_, columns),) = read_row_groups(tmp_path, groups, ["id", "price"])
    assert columns["id"].tolist() == [2**63 - 1, -(2**63)]
    assert columns["price"].tobytes() == np.array([np.nan, -0.0]).tobytes()
