"""Ids in the names of input files and of their folders."""

import gzip
import json
import logging
import traceback
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from conf.contract import Manifest
from conf.errors import InputError
from conf.privacy.file_names import names_of_files
from conf.privacy.keys import require_keys
from conf.privacy.quarantine import read_quarantine
from conf.runs.managing import run_erase
from conf.runs.stages import run_etl
from conf.settings.config import Config
from conf.workspace.versions import read_manifest
from tests.conf.erasable import KEY, everything_in
from tests.etl.making import config_for, make, read_part, write_lines

START = 1_772_323_200  # 2026-03-01T00:00:00Z
MARKED = "person@marked, 7"
ESCAPED = "person%40marked, 7"  # as Spark names folders
PRIVACY = {"mode": "pseudonymise", "key": KEY}
FOLDERS = {"paths": ["by/*/part.csv"], "columns": {"user_id": "who"}, "time_unit": "seconds"}
FILES = {"paths": ["who-*.csv"], "time_unit": "seconds"}


def write_log(root: Path, marked: str = MARKED) -> list[str]:
    """Write logs with the id in folders and files, all with faults; return the files' names."""
    lines = [f"i{n},{START + n}" for n in range(5)]
    for who in (ESCAPED, "other"):
        write_lines(root / f"by/who={who}/part.csv", "item_id,time", *lines, "i1,soon", "i1")
    rows = [f"{who},i{n},{START + n}" for n in range(9) for who in ("a", "b")]
    write_lines(root / f"who-{marked}.csv", "user_id,item_id,time", *rows[::2], "a,i1,soon", "a")
    packed = root / f"who-{marked}-2.csv.gz"
    # Another column and no copy: both are in warnings.
    text = "\n".join(["user_id,item_id,time,more", *(f"{row},1" for row in rows[1::2])])
    packed.write_bytes(gzip.compress(text.encode()))
    write_lines(root / f"who-{marked}.csv.zip", "never read")
    return [f"by/who={ESCAPED}/part.csv", "by/who=other/part.csv", packed.name,
            f"who-{marked}.csv"]  # fmt: skip


def config_of(root: Path, **privacy: Any) -> Config:
    return config_for(
        root / "raw", logs={"folders": FOLDERS, "files": FILES}, privacy=privacy,
        run={"output": str(root / "workspace")}, etl={"clean": {"max_bad_share": 0.9}},
    )  # fmt: skip


def told(text: str) -> list[str]:
    return [form for form in (MARKED, ESCAPED, "person") if form in text]


def all_but_identities(workspace: Path) -> str:
    return "\n".join(
        everything_in(path) if path.is_dir() else path.read_text()
        for path in workspace.iterdir() if path.name != "identities"
    )  # fmt: skip


@pytest.mark.slow
def test_names_of_files_are_hidden_with_pseudonyms(
    spark: SparkSession,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.INFO)
    names, config = write_log(tmp_path / "raw"), config_of(tmp_path, **PRIVACY)
    keys, workspace = require_keys(config.privacy, "the test"), tmp_path / "workspace"
    result = run_etl(config)
    manifest = read_manifest(workspace, "datasets", result["id"], Manifest)
    assert "is not read" in caplog.text and "more" in caplog.text  # there were warnings
    local = Path(spark.sparkContext.getConf().get("spark.local.dir") or "")
    for text in (
        caplog.text, json.dumps(result), "".join(capfd.readouterr()),
        all_but_identities(workspace), everything_in(local),
    ):  # fmt: skip
        assert told(text) == []
    hidden = sorted(manifest.ledger["events"].files)
    assert [name[:12] for name in hidden] == [f"file-{n:06d}-" for n in (1, 2, 3, 4)]
    opened = names_of_files(manifest, keys)
    assert [opened[name] for name in hidden] == sorted(names)
    assert manifest.ledger["events"].files[hidden[0]].rows_read == 7
    rows = read_quarantine(workspace, manifest.id, keys).to_pylist()
    assert {row["source_file"] for row in rows} == {*names} - {f"who-{MARKED}-2.csv.gz"}
    # The id of the folder is that of the user, and the packed file was read through its link.
    assert manifest.counts["users"] == 4 and manifest.ledger["events"].rows_read == 34

    (tmp_path / "users.txt").write_text(f"{MARKED}\n")
    removed = run_erase(config, tmp_path / "users.txt")["removed"][f"datasets/{manifest.id}"]
    assert removed["file_names"] == 3 and told(everything_in(workspace)) == []
    erased = read_manifest(workspace, "datasets", manifest.id, Manifest)
    assert list(names_of_files(erased, keys).values()) == ["by/who=other/part.csv"]


@pytest.mark.usefixtures("spark")
@pytest.mark.slow
def test_an_erasure_renames_files_whose_names_hold_the_id(tmp_path: Path) -> None:
    names, config = write_log(tmp_path / "raw"), config_of(tmp_path, key=KEY)
    manifest, folder = make(config)
    assert set(manifest.ledger["events"].files) == set(names)
    assert told("".join(manifest.ledger["events"].warnings))
    (tmp_path / "users.txt").write_text(f"{MARKED}\n")
    workspace = folder.parents[1]
    removed = run_erase(config, tmp_path / "users.txt")["removed"][f"datasets/{manifest.id}"]
    assert removed["file_names"] == 3 and told(everything_in(workspace)) == []
    erased = read_manifest(workspace, "datasets", manifest.id, Manifest)
    files = erased.ledger["events"].files
    assert set(files) == {"by/who=other/part.csv", "erased-1", "erased-2", "erased-3"}
    assert files["erased-1"] == manifest.ledger["events"].files[names[0]]
    assert {row["source_file"] for row in read_part(folder, "quarantine")} == {
        "by/who=other/part.csv", "erased-3",
    }  # fmt: skip


@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize("mode", [pytest.param("none", marks=pytest.mark.slow), "pseudonymise"])
def test_what_is_left_of_a_refused_input_names_no_file(tmp_path: Path, mode: str) -> None:
    write_log(tmp_path / "raw")
    config = config_of(tmp_path, mode=mode, key=KEY)
    etl = config.etl.model_copy(
        update={"clean": config.etl.clean.model_copy(update={"max_bad_share": 0.0})}
    )
    with pytest.raises(InputError, match="rows are bad"):
        run_etl(config.model_copy(update={"etl": etl}))
    (refused,) = (tmp_path / "workspace/datasets").glob("refused-*")
    assert bool(told(everything_in(refused))) == (mode == "none")
    (tmp_path / "users.txt").write_text(f"{MARKED}\n")
    run_erase(config, tmp_path / "users.txt")
    assert told(everything_in(tmp_path / "workspace")) == []
    assert read_part(refused, "quarantine")


def damaged(root: Path) -> None:
    (root / f"who-{MARKED}.csv").write_bytes(b"PAR1 is no csv")


def broken_link(root: Path) -> None:
    (root / f"who-{MARKED}-3.csv").symlink_to(root / "nowhere")


def other_header(root: Path) -> None:
    write_lines(root / f"who-{MARKED}.csv", "customer,thing", "a,b")


def cut_off(root: Path) -> None:
    path = root / f"who-{MARKED}-2.csv.gz"
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize("spoil", [damaged, broken_link, other_header, cut_off])
def test_errors_name_no_file_with_pseudonyms(tmp_path: Path, spoil: Any) -> None:
    write_log(tmp_path / "raw")
    spoil(tmp_path / "raw")
    for privacy in ({}, PRIVACY):
        with pytest.raises(InputError) as caught:
            run_etl(config_of(tmp_path, **privacy))
        text = "".join(traceback.format_exception(caught.value)) if privacy else str(caught.value)
        assert bool(told(text)) == (not privacy) and ("file-" in text) == bool(privacy)
    assert told(everything_in(tmp_path / "workspace")) == []
