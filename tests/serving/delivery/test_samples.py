"""The samples of the manual for readers, as they stand, against real servers."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from omegaconf import OmegaConf

from conf.runs.managing import run_deliver
from conf.settings.load import load_config
from tests.docs.samples import samples_of
from tests.packaging.checkout import CHECKOUT
from tests.serving.delivery import servers
from tests.serving.delivery.shops import config_of, lists_of, write_lists

PAGE = CHECKOUT / "docs" / "delivery.md"
READERS = list(samples_of(PAGE, "python"))


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, postgresql: Any, valkey: Any, store: Any
) -> Path:
    """Deliver lists to the targets of the page's configuration; return the folder it runs in."""
    folder = tmp_path_factory.mktemp("reader")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, value in environment(postgresql, valkey, store).items():
            patch.setenv(name, value)
        write_lists(folder / "workspace", lists_of(3, "a"))
        whole = config_of(folder / "workspace").model_dump(mode="json", by_alias=True)
        sample = next(samples_of(PAGE, "yaml"))
        base = {key: whole[key] for key in ("run", "input", "etl")}
        merged = OmegaConf.merge(OmegaConf.create(base), OmegaConf.create(sample.text))
        OmegaConf.save(merged, folder / "shop.yaml")
        told = run_deliver(load_config(folder / "shop.yaml"))["delivered"]
    assert [one["status"] for one in told.values()] == ["delivered"] * 4
    return folder


def environment(postgresql: Any, valkey: Any, store: Any) -> dict[str, str]:
    return {
        "SHOP_DATABASE": postgresql.url, "SHOP_CACHE": valkey.url, "SHOP_STORE": store.url,
        "SHOP_STORE_ID": "shop-access", "SHOP_STORE_SECRET": servers.PASSWORD,
    }  # fmt: skip


@pytest.mark.parametrize("sample", READERS, ids=str)
def test_a_reader_of_the_manual_reads_a_list(
    place: Path, sample: Any, postgresql: Any, valkey: Any, store: Any
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", sample.text], cwd=place, capture_output=True, text=True,
        env=environment(postgresql, valkey, store), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "['a-0', 'a-1', 'a-2']\n"


def test_the_query_of_the_manual_reads_a_list(place: Path, postgresql: Any) -> None:
    (sample,) = samples_of(PAGE, "sql")
    with psycopg.connect(postgresql.url) as connection:
        rows = connection.execute(sample.text.encode()).fetchall()
    assert [row[1] for row in rows] == ["a-0", "a-1", "a-2"]
    assert rows[1][3] == [{"item_id": "a-1-why", "weight": 0.25}]


def test_there_is_a_sample_for_each_kind() -> None:
    assert len(READERS) == 4
