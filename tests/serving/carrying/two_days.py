"""A shop on two days: the same users, of whom some did something, and a few new ones."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from conf.contract import Manifest
from conf.settings.config import Config
from conf.settings.load import load_config
from conf.workspace.pointers import current_version, publish
from conf.workspace.versions import commit
from serving.carrying.earlier import Base, base_of
from serving.kinds.bases import bases
from serving.kinds.prepared import Source, prepared
from serving.publishing.parts import read_item_ids
from serving.score import checked, job_of
from serving.scoring.list_model import load_model
from serving.scoring.pool import shown_progress
from serving.scoring.worker import PartScorer
from tests.serving.scoring_here import score_here
from tests.serving.tiny_shop import DAY, write_config, write_dataset, write_model
from tests.trainer.small_parts import matrix
from trainer.models.bundle import Trained, save_bundle
from trainer.models.item_knn import fit_item_knn

USERS, NEW_USERS, ITEMS, NEW_ITEMS = 150, 7, 60, 3
GROUP, NEW_GROUP = 37, 41
"""Users of a row group on the two days."""
REQUEST = "5e" * 32
ACTIVE = (4, 17, 18, 60, 99, 149)
"""Users with an event on the second day."""
NOW, HOUR = 1_769_000_000_000_000, 3_600_000_000
NEXT_DAY = "2026-02-01"
"""`as_of` of the second day, after `DAY`; rules with days count back from there."""
REGIONS = ("north", "south", None)


class Shop(NamedTuple):
    workspace: Path
    histories: list[list[int]]
    times: list[list[int]]
    first: Manifest

    def config(self, *overrides: str) -> Config:
        return load_config(self.workspace / "run.yaml", overrides)


def first_day(workspace: Path, *overrides: str, counts: bool = False) -> Shop:
    """Write the dataset and the model of the first day."""
    rng = np.random.default_rng(7)
    histories = [
        rng.integers(2, ITEMS + 2, min(int(rng.geometric(0.2)), 30)).tolist()
        if rng.random() < 0.9
        else []
        for _ in range(USERS)
    ]
    times = [sorted((NOW - HOUR * rng.integers(1, 900, len(own))).tolist()) for own in histories]
    write_config(workspace, block_users=64, block_items=32)
    dataset = _write(workspace, "day-1", histories, times, ITEMS)
    shop = Shop(workspace, histories, times, dataset)
    config = shop.config(*overrides)
    if counts:
        _count(config, dataset, histories)
    else:
        write_model(config, dataset)
    return shop


def second_day(shop: Shop, *, stock: int = 0, everybody: bool = False) -> Manifest:
    """Write the dataset of the second day."""
    rng = np.random.default_rng(8)
    histories, times = [[*own] for own in shop.histories], [[*own] for own in shop.times]
    for user in range(USERS) if everybody else ACTIVE:
        histories[user].append(int(rng.integers(2, ITEMS + 2)))
        times[user].append(NOW + HOUR)
    histories[ACTIVE[0]].append(ITEMS + 2)  # a new item
    times[ACTIVE[0]].append(NOW + 2 * HOUR)
    for _ in range(NEW_USERS):
        histories.append(rng.integers(2, ITEMS + NEW_ITEMS + 2, 3).tolist())
        times.append([NOW, NOW + HOUR, NOW + 2 * HOUR])
    item = shop.first.vocabularies["item"]
    second = _write(
        shop.workspace, "day-2", histories, times, ITEMS + NEW_ITEMS, stock=stock,
        group_rows=NEW_GROUP,
        fingerprint="vocabulary-2", earlier=((item.size, item.fingerprint),),
    )  # fmt: skip
    second = second.model_copy(update={"as_of": NEXT_DAY})
    commit(shop.workspace, "datasets", second)
    return second


def _write(
    workspace: Path, name: str, histories: list[list[int]], times: list[list[int]], items: int,
    *, stock: int = 0, group_rows: int = GROUP, **more: Any,
) -> Manifest:  # fmt: skip
    numbers = np.arange(items)
    users = np.arange(len(histories))
    return write_dataset(
        workspace, histories, items=items, group_rows=group_rows, name=name, times=times,
        item_fields={
            "stock": pa.array((numbers + stock * (numbers == 5)) % 5),
            "price": pa.array(numbers * 0.5),
            "region": pa.array([REGIONS[n % 3] for n in numbers]),
        },
        user_fields={
            "region": pa.array([REGIONS[n % 3] for n in users]),
            "budget": pa.array((users % 9) * 4.0),
        },
        **more,
    )  # fmt: skip


def _count(config: Config, dataset: Manifest, histories: list[list[int]]) -> None:
    events = np.bincount([item for own in histories for item in own], minlength=ITEMS + 2)
    knn = fit_item_knn(
        matrix(histories, ITEMS + 2), events.astype(float),
        neighbours=9, similarity="cosine", shrinkage=0.0, history_decay=0.8,
    )  # fmt: skip
    model = save_bundle(
        config, dataset, "k" * 64, Trained({"history_decay": 0.8}, knn.weights(), {})
    )
    publish(Path(config.run.output), "models", model, DAY)


class Ways(NamedTuple):
    """The lists of the second day."""

    kept: dict[str, bytes]
    """Parts in which users keep their lists of the first day."""
    full: dict[str, bytes]
    """Parts in which all lists are made."""
    num_kept: int


def both_ways(shop: Shop, second: Manifest, *overrides: str) -> Ways:
    """Make the lists of both days, and those of the second one in full, in this process."""
    first_lists(shop, *overrides)
    return second_lists(shop, second, *overrides)


def first_lists(shop: Shop, *overrides: str) -> Path:
    """Make and publish the lists of the first day; return their folder."""
    folder, _ = _made(shop, shop.config(*overrides), shop.first, "first", None)
    publish(shop.workspace, "lists", folder.name, DAY)
    return folder


def second_lists(shop: Shop, second: Manifest, *overrides: str) -> Ways:
    """Make the lists of the second day in both ways."""
    config = shop.config(*overrides)
    base = base_of(shop.workspace, second, basis_of_lists(shop, config, second))
    kept, num_kept = _made(shop, config, second, "kept", base)
    full, _ = _made(shop, config, second, "full", None)
    return Ways(_parts(kept), _parts(full), num_kept)


def _source(shop: Shop, config: Config, dataset: Manifest) -> Source:
    model = load_model(shop.workspace, current_version(shop.workspace, "models"), dataset)
    item_ids = read_item_ids(shop.workspace / "datasets" / dataset.id, dataset)
    return Source(config, dataset, model, item_ids, {}, {})


def basis_of_lists(shop: Shop, config: Config, dataset: Manifest) -> dict[str | None, str]:
    """Return the basis of each kind of lists."""
    source = _source(shop, config, dataset)
    return bases(source, prepared(source, (), {}))


def _made(
    shop: Shop, config: Config, dataset: Manifest, version: str, base: Base | None
) -> tuple[Path, int]:
    """Write and commit lists; return their folder, and how many are kept."""
    source = _source(shop, config, dataset)
    kinds = prepared(source, (), {})
    folder = shop.workspace / "lists" / version
    for one in kinds:
        one.kind.folder_in(folder).mkdir(parents=True)
    job = job_of(source, kinds, request=REQUEST, folder=folder, base=base)
    groups = dataset.row_groups("histories")
    with shown_progress(sum(group.rows for group in groups), "users") as progress:
        num_kept = score_here(PartScorer, job, [*range(len(groups))], progress)
    commit(shop.workspace, "lists", checked(source, kinds, job, bases(source, kinds)))
    return folder, num_kept


def _parts(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.parquet")}
