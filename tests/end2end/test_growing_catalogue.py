"""Lists by a model of the day before, in a shop whose catalogue and users have grown since."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.end2end.conftest import headrace

pytestmark = pytest.mark.slow

OLD = [f"A{n}" for n in range(8)]
NEW = [f"N{n}" for n in range(4)]
NEVER_BOUGHT = ["C0", "C1"]
START, DAY_SECONDS = 1_772_323_200, 86_400
YAML = """
run: {{name: shop, output: "{folder}/workspace"}}
input:
  root: "{folder}"
  events:
    log: {{paths: ["day*.csv"], time_unit: seconds,
           columns: {{user_id: user, item_id: item, time: at}}}}
  items: {{paths: [items.csv], id_column: item}}
etl: {{event_types: {{event: {{}}}}, vocabulary: extend, catalogue: table}}
spark: {{driver_memory: 1g, shuffle_partitions: 2}}
ray: {{num_cpus: 1, object_store_mib: 100}}
train: {{algorithm: markov}}
score: {{list_length: 5}}
"""


def write_day(path: Path, day: int, histories: dict[str, list[str]]) -> None:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["user", "item", "at"])
        for user, items in histories.items():
            for place, item in enumerate(items):
                rows.writerow([user, item, START + day * DAY_SECONDS + 60 * place])


def write_items(folder: Path, items: list[str]) -> None:
    (folder / "items.csv").write_text("\n".join(["item", *items, ""]))


def run(folder: Path, name: str, *changes: str) -> dict[str, Any]:
    done = headrace(name, "--config", str(folder / "shop.yaml"), "--json", *changes)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_new_users_and_items_cost_nobody_else_the_list(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(YAML.format(folder=tmp_path))
    write_items(tmp_path, [*OLD, *NEVER_BOUGHT])
    old = {f"old{n}": [OLD[(n + step) % 8] for step in range(4)] for n in range(12)}
    write_day(tmp_path / "day1.csv", 1, old)
    run(tmp_path, "etl")
    run(tmp_path, "train")
    write_items(tmp_path, [*OLD, *NEVER_BOUGHT, *NEW])
    new = {f"new{n}": [NEW[(n + step) % 4] for step in range(3)] for n in range(4)}
    everything = {"collector": [*OLD, *NEW]}
    write_day(tmp_path / "day2.csv", 2, new | everything)
    dataset = run(tmp_path, "etl")

    result = run(tmp_path, "score")

    assert result["published"] == "published" and all(result["gates"].values())
    assert result["figures"]["seen_items"] == result["figures"]["unexplained_short_lists"] == 0
    assert result["fallbacks"] == {"history_unknown_to_model": 4}
    # The model knows eight items: of the four that an old user has not seen, all are in the list.
    assert result["short_lists"] == {"few_known_items": 12}
    assert result["users_without_lists"] == {"few_known_items": 1}
    folder = Path(result["folder"])
    lists = pq.ParquetDataset(sorted(folder.glob("part-*.parquet"))).read().to_pandas()
    absent = pq.read_table(folder / "users_without_lists.parquet").to_pydict()
    assert absent == {"user_id": ["collector"], "why_absent": ["few_known_items"]}
    assert {*lists.user_id, "collector"} == {*old, *new, "collector"}
    assert dataset["counts"]["users"] == 17
    for user, rows in lists.groupby("user_id"):
        seen = {**old, **new}[user]
        assert not set(seen) & set(rows.item_id)
        assert len(rows) == (5 if user in new else 4)
        assert set(rows.source) == ({"fallback"} if user in new else {"model"})
        reasons = set(rows.why_fallback.dropna()), set(rows.why_short.dropna())
        assert reasons == (
            ({"history_unknown_to_model"}, set()) if user in new else (set(), {"few_known_items"})
        )
    shown = headrace("show", "--config", str(tmp_path / "shop.yaml"), "--user", "collector").stdout
    assert "why_absent: few_known_items: too few of the items" in shown
