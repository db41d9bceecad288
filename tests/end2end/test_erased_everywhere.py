"""A marked user goes through all that can run, is erased, and is looked for in every byte."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from conf.workspace.pointers import current_version
from tests.conf.erasable import everything_in
from tests.end2end.conftest import headrace

KEY = "a-key-of-the-test-0123456789abcdef"
MARKED, CITY, PLACE, OTHER = "marked-person", "markedcity", "markedplace", "person7"
CONFIG = """
run: {name: marked, output: OUT/workspace}
input:
  root: OUT/log
  events:
    log: {paths: [events.csv], time_unit: seconds, columns: {value: price}, fields: {place: {}}}
  users: {paths: [users.csv], id_column: id, fields: {city: {fill: {kind: mode}}, age: {}}}
etl:
  event_types: {view: {}}
  clean: {max_bad_share: 0.5}
  history_features: [place]
  features:
    users: {encodings: {city: {kind: categorical}, age: {kind: categorical}}}
    events: {encodings: {place: {kind: categorical}}}
train: {algorithm: ease, epochs: 1, gate: none, batch_rows: 32, cpus_per_worker: 1,
        model: {width: 8, blocks: 1, heads: 1}}
compare: {models: {network: {algorithm: neural}, counted: {algorithm: markov}}}
tune: {trials: 2, space: {algorithm: {choice: [markov, item_knn]}}}
privacy: {key: "${oc.env:HEADRACE_TEST_KEY}", quasi_identifiers: [age], k: 2}
ray: {object_store_mib: 150}
spark: {driver_memory: 1g, shuffle_partitions: 2}
"""


def write_log(folder: Path) -> None:
    (folder / "log").mkdir()
    lines = []
    for n in range(60):
        who, place = (MARKED, PLACE) if n == 33 else (f"person{n}", f"place{n % 3}")
        lines += [f"{who},item{(n + k) % 12},{1_772_323_200 + 60 * k},5,{place}" for k in range(6)]
    bad = [f"{MARKED},item1,no-time,5,{PLACE}", f"{MARKED};item1", f"{MARKED}s,,5,5,x"]
    head = "user_id,item_id,time,price,place"
    (folder / "log/events.csv").write_text("\n".join([head, *lines, *bad, ""]))
    users = [f"person{n},town{n % 2},{30 + n % 2}" for n in range(60) if n != 33]
    table = ["id,city,age", *users, f"{MARKED},{CITY},30", ""]
    (folder / "log/users.csv").write_text("\n".join(table))


class Line:
    """Runs subcommands on the log."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "run.yaml"
        self.config.write_text(CONFIG.replace("OUT", str(folder)))

    def run(self, name: str, *more: str, exit_code: int = 0) -> Any:
        arguments = (name, "--config", str(self.config), "--json", *more)
        env = {"HEADRACE_TEST_KEY": KEY}
        done = headrace(*arguments, exit_code=exit_code, env=env, timeout=1500)
        return json.loads(done.stdout) if done.stdout.strip() else None


def footers_of(workspace: Path) -> str:
    """Return what the footers of all tables say: schemas, metadata, statistics."""
    files = [pq.ParquetFile(path) for path in sorted(workspace.rglob("*.parquet"))]
    return "\n".join(
        repr((file.metadata.to_dict(), file.schema_arrow.to_string())) for file in files
    )


def places_of(workspace: Path, text: str) -> set[str]:
    """Return the folders with a text in a name, a byte or a cell."""
    found = set()
    for path in workspace.rglob("*"):
        if path.is_file() and text in _content(path):
            found.add(path.relative_to(workspace).parts[0])
    return found


def _content(path: Path) -> str:
    cells = repr(pq.read_table(path).to_pylist()) if path.suffix == ".parquet" else ""
    return f"{path} {path.read_bytes().decode('latin-1')} {cells}"


def numbers_in(workspace: Path, number: int) -> list[str]:
    """Return the tables that have a row with the number of a user."""
    tables = {path: pq.read_table(path) for path in workspace.rglob("*.parquet")}
    return [
        str(path.relative_to(workspace))
        for path, table in tables.items()
        if "user_idx" in table.column_names and number in table["user_idx"].to_pylist()
    ]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_marked_user_is_nowhere_after_all_that_can_run(tmp_path: Path) -> None:
    write_log(tmp_path)
    line, workspace = Line(tmp_path), tmp_path / "workspace"
    line.run("run")
    line.run("compare")
    line.run("tune")
    line.run("run", "run.seed=2")
    line.run("etl", "etl.clean.max_bad_share=0.0", exit_code=3)
    for kind in ("lists", "datasets"):
        line.run("rollback", "--kind", kind)
    dataset = current_version(workspace, "datasets")
    work = workspace / "models/.work-0123456789ab/trial-1"
    work.mkdir(parents=True)
    (work / "00000001.pt").write_text(MARKED)
    users = pq.read_table(workspace / "datasets" / dataset / "users")
    number = users["user_idx"].to_pylist()[users["user_id"].to_pylist().index(MARKED)]
    assert places_of(workspace, MARKED) >= {"datasets", "lists", "models"}
    assert places_of(workspace, CITY) and places_of(workspace, PLACE)
    assert numbers_in(workspace, number)

    (tmp_path / "users.txt").write_text(f"{MARKED}\n")
    result = line.run("erase", "--users", str(tmp_path / "users.txt"))

    assert result["found"] == 1
    found = everything_in(workspace) + footers_of(workspace)
    # What is left of the id is the longer one of somebody else.
    assert MARKED not in found.replace(f"{MARKED}s", "")
    assert CITY not in found and PLACE not in found
    assert OTHER in found and numbers_in(workspace, number) == []
    models = [path.parent.name for path in (workspace / "models").glob("*/bundle.json")]
    assert set(result["learned_from_erased"]) == set(models) and len(models) >= 4
    names = {p.name for p in workspace.iterdir() if not p.name.startswith(".")}
    assert names == {
        "datasets", "models", "lists", "comparisons", "tuning", "erased",
    }  # fmt: skip
    again = line.run("run")
    assert again["etl"]["ledger"]["events"]["dropped"] == {"erased": 8}
    assert MARKED not in everything_in(workspace).replace(f"{MARKED}s", "")
    assert "learned_from_erased" not in line.run("status")["models"]
