from pathlib import Path
from typing import Any

import pytest

from conf.errors import ConfigError, InputError
from conf.runs.inputs.input_files import UNKNOWN_BYTES, fingerprint_inputs
from conf.runs.inputs.request_keys import dataset_request, lists_request, model_request
from conf.settings.config import Config
from conf.settings.etl import EventType
from conf.settings.load import load_config
from conf.settings.score import Score
from conf.workspace.hashes import canonical_hash

TABLE = {"format": "table", "table": "shop.clicks", "table_version": "7", "time_unit": "iso"}


def config_of(root: Path, **log: Any) -> Config:
    return Config.model_validate({
        "run": {"name": "tiny", "output": str(root / "workspace")},
        "input": {"root": str(root), "events": {"log": {"time_unit": "iso", **log}}},
        "etl": {"event_types": {"view": {}}, "clean": {"latest_time": "2026-03-31"}},
    })  # fmt: skip


def names(root: Path, *paths: str) -> list[str]:
    return [file.name for file in fingerprint_inputs(config_of(root, paths=paths))["events.log"]]


def test_files_are_found_under_their_names_and_compressed(tmp_path: Path) -> None:
    for name in (
        "a.csv",
        "a.csv.gz",
        "b.csv.bz2",
        "c.csv.zst",
        "day=1/part-0.csv",
        "day=2/part-0.csv",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    assert names(tmp_path, "a.csv", "b.csv", "c.csv") == ["a.csv", "b.csv.bz2", "c.csv.zst"]
    assert names(tmp_path, "day=*/*.csv") == ["day=1/part-0.csv", "day=2/part-0.csv"]
    with pytest.raises(InputError, match=r"no file matches 'd\.csv' \(nor with \.gz, \.bz2, \.zst"):
        names(tmp_path, "a.csv", "d.csv")


def test_what_spark_leaves_beside_its_files_is_no_input(tmp_path: Path) -> None:
    for name in ("part-0.parquet", "_SUCCESS", ".part-0.parquet.crc", "_metadata"):
        (tmp_path / name).write_text(name)
    assert names(tmp_path, "*") == ["part-0.parquet"]


def test_the_order_of_paths_makes_no_other_dataset(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "c.csv"):
        (tmp_path / name).write_text(name)

    def request_of(*paths: str) -> str:
        config = config_of(tmp_path, paths=paths)
        return dataset_request(config, fingerprint_inputs(config), None)

    assert request_of("a.csv", "b.csv") == request_of("b.csv", "a.csv", "b.csv")
    assert request_of("a.csv", "b.csv") != request_of("a.csv", "c.csv")


def test_the_order_of_event_types_makes_another_dataset(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a")
    config = config_of(tmp_path, paths=("a.csv",))
    requests = set()
    for names_ in (("view", "buy"), ("buy", "view"), ("view", "buy")):
        etl = config.etl.model_copy(update={"event_types": {n: EventType() for n in names_}})
        changed = config.model_copy(update={"etl": etl})
        requests.add(dataset_request(changed, fingerprint_inputs(config), None))
    assert len(requests) == 2


@pytest.mark.parametrize(("time", "num_datasets"), [(None, 2), ("time", 1)])
def test_the_order_of_logs_makes_another_dataset_where_it_is_the_time(
    tmp_path: Path, time: str | None, num_datasets: int
) -> None:
    log = {"paths": ["a.csv"], "time_unit": "order", "columns": {"time": time}}
    (tmp_path / "a.csv").write_text("a")
    requests = set()
    for order in (("views", "buys"), ("buys", "views"), ("views", "buys")):
        config = Config.model_validate({
            "run": {"name": "tiny", "output": str(tmp_path / "workspace")},
            "input": {"root": str(tmp_path), "events": dict.fromkeys(order, log)},
            "etl": {"event_types": {"view": {}}},
        })  # fmt: skip
        requests.add(dataset_request(config, fingerprint_inputs(config), None))
    assert len(requests) == num_datasets


def test_a_table_is_new_where_its_version_is(tmp_path: Path) -> None:
    def request_of(version: str) -> str:
        config = config_of(tmp_path, **{**TABLE, "table_version": version})
        inputs = fingerprint_inputs(config)
        (table,) = inputs["events.log"]
        assert (table.name, table.bytes) == ("shop.clicks", UNKNOWN_BYTES)
        return dataset_request(config, inputs, None)

    assert request_of("7") == request_of("7") != request_of("8")


def test_a_table_of_events_needs_a_last_day(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(
        "run: {name: tiny, output: out}\n"
        "input: {root: data, events: {log: {format: table, table: shop.clicks, "
        "table_version: '7', time_unit: iso}}}\n"
        "etl: {event_types: {view: {}}}\n"
    )
    with pytest.raises(ConfigError, match=r"etl\.clean\.latest_time is null, but a log"):
        load_config(path)
    assert load_config(path, ["etl.clean.latest_time=2026-03-31"]).input.events["log"].table


def test_limits_of_gates_make_no_other_lists(tmp_path: Path) -> None:
    config = config_of(tmp_path, paths=["a.csv"])

    def request_with(**score: Any) -> str:
        section = Score.model_validate(score)
        return lists_request(config.model_copy(update={"score": section}), "d", "m")

    limits = {"seen_items": {"refuse_above": 0.5}}
    assert request_with(gates=limits) == request_with(min_full_share=0.5) == request_with()
    assert request_with(list_length=9) != request_with()


def test_lists_without_rules_keep_the_key_that_they_had_before_there_were_rules(
    tmp_path: Path,
) -> None:
    config = config_of(tmp_path, paths=["a.csv"])
    section = {
        "list_length": 10, "block_users": 512, "block_items": 16_384, "drop_seen": True,
        "reasons": 2,
    }  # fmt: skip
    assert lists_request(config, "d", "m") == canonical_hash([3, 5, "lists", section, "d", "m"])
    ruled = Score.model_validate({"rules": {"where": {"a": "stock > 0"}}})
    other = config.model_copy(update={"score": ruled})
    assert lists_request(other, "d", "m") != lists_request(config, "d", "m")
    assert model_request(other, "d") == model_request(config, "d")


def test_a_new_version_of_rules_makes_only_lists_with_rules_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(tmp_path, paths=["a.csv"])
    scores = (
        {}, {"rules": {"caps": {"kind": 2}}}, {"scenarios": {"a": {"rules": {"caps": {"kind": 2}}}}}
    )  # fmt: skip
    configs = [config.model_copy(update={"score": Score.model_validate(one)}) for one in scores]
    before = [lists_request(one, "d", "m") for one in configs]

    monkeypatch.setattr("conf.runs.inputs.request_keys._RULED", 99)

    after = [lists_request(one, "d", "m") for one in configs]
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, False]
