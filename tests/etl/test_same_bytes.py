"""One log with all that the stage can do gives the same bytes here, elsewhere, on a cluster."""

import json
import random
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from conf.contract import Manifest
from tests.etl.cluster import QUICK, cluster_of_two, run_etl, spark_program
from tests.etl.making import DAY, config_for, make, write_lines, written_to

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.usefixtures("spark")]
START = 1_772_323_200  # 2026-03-01T00:00:00Z
# Neither Python nor Java knows that files are UTF-8; in Turkish, i is not the small letter of I.
ELSEWHERE = {
    "TZ": "Asia/Kolkata", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0",
    "JAVA_TOOL_OPTIONS": f"-Duser.language=tr -Duser.country=TR {QUICK}",
}  # fmt: skip
LOGS = {
    "views": {"paths": ["2.csv", "1.csv"], "time_unit": "iso", "fields": {"place": {}, "size": {}},
              "columns": {"value": "price"}},
    # A file that two logs read, its broken lines too.
    "again": {"paths": ["1.csv"], "time_unit": "iso", "event_type": "buy"},
    "buys": {"paths": ["buys.jsonl"], "time_unit": "seconds", "format": "jsonl",
             "event_type": "buy", "fields": {"device": {}, "place": {}}},
}  # fmt: skip
ITEMS = {
    "paths": ["tables/items.csv"], "id_column": "id", "title_column": "title",
    "fields": {"words": {"column": "title"},
               "price": {"type": "number", "fill": {"kind": "median"}}},
}  # fmt: skip
USERS = {"paths": ["tables/users.csv"], "id_column": "id",
         "fields": {"age": {}, "city": {}, "card": {}}}  # fmt: skip
PRIVACY = {
    "mode": "pseudonymise", "tenant": "shop", "quasi_identifiers": ["age"], "k": 3,
    "columns": {"users": {"city": {"method": "pseudonym"}, "card": {"method": "encrypt"},
                          "age": {"method": "generalise", "step": 5}}},
}  # fmt: skip
FEATURES = {
    "items": {"encodings": {"words": {"kind": "text"}, "price": {"kind": "numeric"}}},
    "events": {"encodings": {"place": {"kind": "categorical"}}},
    "as_of": {"windows_days": [1], "half_life_days": 2},
    "neighbours": {"distance": 2, "min_count": 1},
}  # fmt: skip
ETL = {
    "event_types": {"view": {}, "buy": {"weight": 2.0}},
    "clean": {"max_bad_share": 0.5, "latest_time": "2026-04-01"},
    "split": {"kind": "temporal", "valid_share": 0.2, "test_share": 0.2},
    "session_gap_minutes": 600,
    "features": FEATURES, "history_features": ["place"],
    "impressions": {"labels": {"buy": ["buy"]}, "negatives": "popularity",
                    "negatives_per_positive": 2},
    "leak_check": {"users": 20, "items": 20, "impressions": 50},
    "row_group_rows": 50,
}  # fmt: skip


def write_raw(root: Path) -> None:
    """Write ten days of which many events are of one instant, and rows of several faults."""
    draw = random.Random(3)
    views, buys = [], []
    for _ in range(700):
        user, item = f"ü{draw.randrange(40)}", f"İI{int(draw.paretovariate(1)) % 20}"
        second, place = 3600 * draw.randrange(10 * 24), draw.choice(["Ev", "İş", "IŞIK", ""])
        size = draw.choice("SML")
        if draw.random() < 0.6:
            time = f"2026-03-{1 + second // DAY:02d} {second // 3600 % 24:02d}:00:00"
            views.append(f"{user},{item},{time},{draw.randrange(1, 50) / 10},{place},{size}")
        else:
            buys.append({"user_id": user, "item_id": item, "time": START + second, "place": place,
                         "device": draw.choice(["PHONE", "TABLET"])})  # fmt: skip
    header = "user_id,item_id,time,price,place,size"
    faults = [",İI1,2026-03-01 00:00:00,1,Ev,S", "ü1,İI1,soon,1,Ev,S", "ü1,İI2;broken"]
    write_lines(root / "1.csv", header, *views[::2], views[0], *faults)
    write_lines(root / "2.csv", header, *views[1::2], faults[1])
    write_lines(root / "buys.jsonl", *map(json.dumps, buys))
    items = [f'İI{n},TITLE Il\u0131k {n % 5},{n / 7 if n % 4 else ""}'
             for n in range(20)]  # fmt: skip
    write_lines(root / "tables/items.csv", "id,title,price", *items)
    users = [f"ü{n},{20 + n},City {n % 3},card {n % 2}" for n in range(45)]
    write_lines(root / "tables/users.csv", "id,age,city,card", *users, ",1,x,y")
    (root / "key").write_text("0123456789abcdef0123456789abcdef")


def settings_of(raw: Path, workspace: Path, **sections: Any) -> dict[str, Any]:
    privacy = {**PRIVACY, "key_file": str(raw / "key")}
    sections = {"logs": LOGS, "etl": ETL, "items": ITEMS, "users": USERS, **sections}
    config = config_for(raw, run={"output": str(workspace)}, privacy=privacy, **sections)
    return config.model_dump(mode="json")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest, dict[str, str]]:
    """The raw files, and what `local[2]` makes of them."""
    root = tmp_path_factory.mktemp("here")
    write_raw(root / "raw")
    config = config_for(
        root / "raw", logs=LOGS, etl=ETL, items=ITEMS, users=USERS,
        run={"output": str(root / "workspace")},
        privacy={**PRIVACY, "key_file": str(root / "raw/key")},
    )  # fmt: skip
    make(config)
    return root / "raw", *written_to(root / "workspace")


def require_same(
    expected: tuple[Path, Manifest, dict[str, str]], result: Any, workspace: Path
) -> None:
    _, manifest, files = expected
    other, other_files = written_to(workspace)
    differing = {name for name in files if files[name] != other_files.get(name)}
    assert differing == set() and other_files.keys() == files.keys()
    assert (other.id, other.vocabularies) == (manifest.id, manifest.vocabularies)
    assert result["content"] == other.content == manifest.content


def test_another_order_of_files_another_place_and_language_change_no_byte(
    here: tuple[Path, Manifest, dict[str, str]], tmp_path: Path
) -> None:
    raw, workspace = tmp_path / "copied/elsewhere", tmp_path / "workspace"
    for path in sorted(here[0].rglob("*"), reverse=True):
        if path.is_file():
            copy = raw / path.relative_to(here[0])
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    turned = {name: {**log, "paths": log["paths"][::-1]} for name, log in reversed(LOGS.items())}
    conf = {
        "spark.local.dir": str(tmp_path), "spark.sql.files.maxPartitionBytes": "9000",
        # As in a run that is not tiny.
        "spark.sql.codegen.wholeStage": "true", "spark.sql.codegen.factoryMode": "FALLBACK",
        "spark.sql.adaptive.enabled": "true", "spark.sql.shuffle.partitions": "5",
        "spark.sql.leafNodeDefaultParallelism": "3",
    }  # fmt: skip
    spark = {"master": "local[3]", "driver_memory": "1g", "conf": conf}
    settings = settings_of(raw, workspace, logs=turned, spark=spark)
    result = run_etl([sys.executable], settings, tmp_path, **ELSEWHERE)
    require_same(here, result, workspace)


def test_a_cluster_writes_the_bytes_of_one_machine(
    here: tuple[Path, Manifest, dict[str, str]], tmp_path: Path
) -> None:
    workspace = tmp_path / "workspace"
    conf = {"spark.sql.shuffle.partitions": "3", "spark.sql.leafNodeDefaultParallelism": "2"}
    settings = settings_of(here[0], workspace, spark={"conf": conf})
    settings["spark"]["master"] = None
    with cluster_of_two(tmp_path, ELSEWHERE) as master:
        submit = [
            str(spark_program("spark-submit")), "--master", master, "--deploy-mode", "client",
            "--driver-memory", "1g", "--executor-memory", "512m", "--executor-cores", "1",
            "--conf", "spark.log.level=ERROR", "--conf", "spark.driver.host=127.0.0.1",
            "--driver-java-options", QUICK,
        ]  # fmt: skip
        result = run_etl(submit, settings, tmp_path)
    require_same(here, result, workspace)
    said = (tmp_path / "master.log").read_text()
    assert said.count("Registering worker") == 2
    assert said.count("Launching executor") >= 2
