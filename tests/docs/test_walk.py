"""The walks of the manual, done for real: from logs as its pages show them to lists."""

import csv
import json
import logging
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import pytest
from omegaconf import OmegaConf
from pyspark.sql import SparkSession

from conf.runs.stages import run_all
from conf.settings.load import load_config
from tests.docs.samples import PAGES, Sample, all_samples, samples_of, shop_yaml
from tests.packaging.checkout import BIN, CHECKOUT

USERS, ITEMS, EVENTS = 40, 60, 9
START = 1_772_323_200
QUICK = (
    "train.algorithm=popularity",
    "train.gate=warn",
    "ray.object_store_mib=150",
    "spark.shuffle_partitions=2",
)
KEY = "a key of forty letters and signs, no less"
YOUR_DATA = next(page for page in PAGES if page.name == "your-data.md")
Row = tuple[str, str, int, str, float]


def rows(kinds: tuple[str, ...], seed: int = 1) -> Iterator[Row]:
    """Yield user, item, second, kind and price of made-up events, in the order of time."""
    rng = random.Random(seed)
    for number in range(USERS * EVENTS):
        user, item = rng.randrange(USERS), rng.randrange(ITEMS)
        kind = kinds[number % len(kinds)]
        yield f"c{user:03d}", f"s{item:02d}", START + 60 * number, kind, 5.0 + item


def iso(second: int) -> str:
    return f"2026-03-01T{(second - START) // 3600:02d}:{(second - START) // 60 % 60:02d}:00Z"


def opened(path: Path) -> TextIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("w", newline="")


def write_csv(path: Path, header: list[str], lines: Iterator[list[Any]]) -> None:
    with opened(path) as file:
        csv.writer(file).writerows([header, *lines])


def write_shop(root: Path) -> None:
    names = ["customer", "sku", "happened_at", "action", "price"]
    events = (list(row) for row in rows(("view", "view", "purchase")))
    write_csv(root / "events" / "2026-03-01.csv", names, events)
    titles = ([f"s{item:02d}", f"Teapot {item}"] for item in range(ITEMS))
    write_csv(root / "products.csv", ["sku", "name"], titles)


def write_app(root: Path) -> None:
    with opened(root / "events" / "country=de" / "2026-03.jsonl") as file:
        for user, item, second, kind, price in rows(("view", "purchase")):
            product = {"sku": item, "name": f"Bowl {item}"}
            event = {"user": {"id": int(user[1:])}, "product": product, "ts": iso(second),
                     "kind": kind, "amount": price}  # fmt: skip
            file.write(json.dumps(event) + "\n")


def write_plays(root: Path) -> None:
    write_csv(root / "plays.csv", ["listener", "track"], ([u, i] for u, i, *_ in rows(("play",))))


def write_three(root: Path) -> None:
    for seed, name in enumerate(("views", "carts")):
        lines = ([u, i, t] for u, i, t, *_ in rows((name,), seed))
        write_csv(root / name / "1.csv", ["user", "item", "ts"], lines)
    lines = ([u, i, iso(t), v] for u, i, t, _, v in rows(("purchase",), 2))
    write_csv(root / "purchases" / "1.csv", ["buyer", "article", "paid_at", "total"], lines)


def write_funnel(root: Path) -> None:
    for seed, name in enumerate(("view", "cart", "purchase")):
        lines = ([user, item] for user, item, *_ in rows((name,), seed))
        write_csv(root / f"{name}.csv", ["visitor", "product"], lines)


def write_films(root: Path) -> None:
    rng = random.Random(3)
    with opened(root / "ratings.dat") as file:
        for user, item, second, *_ in rows(("rating",)):
            file.write(f"{user}::{item}::{rng.choice((2.0, 3.5, 4.0, 4.5))}::{second}\n")


def write_baskets(root: Path) -> None:
    histories: dict[str, list[str]] = {}
    for user, item, *_ in rows(("visit",)):
        histories.setdefault(user, []).append(item)
    with opened(root / "sequences.txt") as file:
        file.writelines(f"{user} {' '.join(items)}\n" for user, items in histories.items())


WRITERS: dict[str, Callable[[Path], None]] = {
    "shop": write_shop,
    "app": write_app,
    "plays": write_plays,
    "three": write_three,
    "funnel": write_funnel,
    "films": write_films,
    "baskets": write_baskets,
}
RECIPES = [sample for sample in samples_of(YOUR_DATA, "yaml") if sample.is_whole]


def headrace(folder: Path, *args: str) -> dict[str, Any]:
    done = subprocess.run(
        [BIN / "headrace", *args, "--json"], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "HEADRACE_KEY": KEY}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@contextmanager
def logged_to(path: Path) -> Iterator[None]:
    """Write what the block logs to a file."""
    root = logging.getLogger()
    handler, level = logging.FileHandler(path), root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
        handler.close()


@pytest.fixture(scope="module")
def finished_walk(
    spark: SparkSession, shared_ray: None, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Follow the first walk, with labels for the ids and a bad row; return its folder.

    The run is in this process; those of the other walks are by the command.
    """
    folder = tmp_path_factory.mktemp("walk")
    write_shop(folder / "data" / "shop")
    with (folder / "data" / "shop" / "events" / "2026-03-01.csv").open("a") as file:
        file.write(",s01,1772323200,view,6.0\n")
    privacy = {"privacy": {"mode": "pseudonymise", "key": "${oc.env:HEADRACE_KEY}"}}
    OmegaConf.save(OmegaConf.merge(OmegaConf.create(shop_yaml()), privacy), folder / "shop.yaml")
    with pytest.MonkeyPatch.context() as patch, logged_to(folder / "run.log"):
        patch.chdir(folder)
        patch.setenv("HEADRACE_KEY", KEY)
        result = run_all(load_config(Path("shop.yaml"), QUICK))
    assert result["etl"]["ledger"]["events"]["quarantined"] == {"user_missing": 1}
    assert result["score"]["counts"]["lists"] == USERS
    return folder


def test_the_walk_ends_with_a_list_for_each_user_and_its_titles(finished_walk: Path) -> None:
    shown = headrace(finished_walk, "show", "--config", "shop.yaml", "--user", "first")
    assert shown["list"]
    assert all(row["title"].startswith("Teapot ") for row in shown["list"])


STEPS = (
    "etl: listing and hashing the input files",
    "etl: starting Spark",
    "etl: reading and judging every row",
    "etl: numbering users",
    "etl: splitting the events",
    "etl: writing histories",
    "etl: writing the quarantine",
    "etl: writing the data report",
    "train: fitting popularity",
    "score: ",
)


def test_each_step_is_named_when_it_begins(finished_walk: Path) -> None:
    log = " ".join((finished_walk / "run.log").read_text().split())
    places = [log.find(step) for step in STEPS]
    assert -1 not in places
    assert places == sorted(places)


PROGRAMS = [
    sample
    for sample in all_samples("python")
    if sample.how != "other" and sample.page.name != "delivery.md"
]
"""Those of delivery.md read from servers; `tests/serving/delivery/test_samples.py` runs them."""


@pytest.mark.parametrize("sample", PROGRAMS, ids=str)
def test_program_runs(sample: Sample, finished_walk: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", sample.text], cwd=finished_walk, capture_output=True, text=True,
        env={**os.environ, "HEADRACE_KEY": KEY, "PYTHONPATH": str(CHECKOUT)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_recipe_keeps_every_row_of_its_log(recipe: Sample, tmp_path: Path) -> None:
    tree = OmegaConf.create(recipe.text)
    WRITERS[tree.run.name](tmp_path / tree.input.root)
    (tmp_path / "shop.yaml").write_text(recipe.text)

    result = headrace(tmp_path, "run", "--config", "shop.yaml", *QUICK)

    ledger = result["etl"]["ledger"]["events"]
    assert ledger["quarantined"] == {}
    assert set(ledger["dropped"]) <= {"below_threshold", "repeated_item"}
    assert ledger["rows_read"] >= USERS * EVENTS or tree.run.name == "baskets"
    assert result["score"]["counts"]["lists"] > USERS * 0.8
