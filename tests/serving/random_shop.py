"""Small random shops, and what their lists must be, found with loops over the raw tables."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch

from conf.contract import Manifest
from conf.runs.inputs.list_files import list_files
from conf.runs.lineage import shown_lists
from conf.settings.config import Config
from serving.gates.list_counts import Checked, check_parts
from serving.gates.rule_checks import RuleCheck
from serving.publishing.parts import read_item_ids
from serving.rules.reading.given import Given, read_given
from serving.rules.shown import shown_version
from serving.scoring.worker import PartScorer, ScoringJob
from tests.serving.tiny_shop import DAY, SECOND, read_lists, tiny_config, write_dataset, write_model
from tests.trainer.small_parts import matrix, ragged
from trainer.models.bundle import Trained, save_bundle
from trainer.models.item_knn import fit_item_knn

NOW = int(dt.datetime.fromisoformat(DAY).replace(tzinfo=dt.UTC).timestamp()) * 1_000_000
TODAY = dt.datetime.fromisoformat(DAY)
CATEGORIES = ("toys", "books", "food", None)
REGIONS = ("north", "south", None)
Values = Mapping[str, Any]


class Shop(NamedTuple):
    """A dataset with a model, and its tables as Python values."""

    config: Config
    manifest: Manifest
    model_id: str
    items: list[dict[str, Any]]
    """Fields of each item, from number 2 on."""
    users: list[dict[str, Any]]
    histories: list[list[int]]
    times: list[list[int]]
    """Times of the events in microseconds; events are a view, a buy, a view, ..."""

    def scorer(self) -> PartScorer:
        folder = Path(self.config.run.output)
        return PartScorer(
            ScoringJob(
                folder, self.manifest.id, self.model_id, "r", folder, self.config.score,
                given=self.given(),
            )
        )  # fmt: skip

    def given(self) -> Given:
        """Return what the rules read besides the dataset."""
        workspace = Path(self.config.run.output)
        versions = [shown_version(workspace, one)
                    for one in shown_lists(self.config, self.manifest.id)]  # fmt: skip
        ids = read_item_ids(Path(self.config.run.output) / "datasets" / self.manifest.id,
                            self.manifest)  # fmt: skip
        given = read_given(self.config, self.manifest, ids, list_files(self.config))
        return given._replace(shown=versions, item_ids=ids) if versions else given

    def lists(self) -> tuple[list[list[dict[str, Any]]], Checked]:
        """Write all parts; return the rows of each user, and what the gates count in the files."""
        worker, workspace = self.scorer(), Path(self.config.run.output)
        for part in range(len(self.manifest.row_groups("histories"))):
            worker.score(part)
        found: list[list[dict[str, Any]]] = [[] for _ in self.users]
        for row in read_lists(workspace):
            found[int(row["user_id"][1:])].append(row)
        return found, self.counted()

    def counted(self) -> Checked:
        """Return what the gates count in the written files."""
        workspace, worker = Path(self.config.run.output), self.scorer()
        dataset = workspace / "datasets" / self.manifest.id
        check = RuleCheck(dataset, self.manifest, self.config.score, self.given())
        return check_parts(
            workspace, self.manifest, workspace, self.config.score, worker.maker.pools,
            is_personal=True, check=check,
        )  # fmt: skip

    def scores(self) -> np.ndarray:
        """Return the model's scores, [users, items + 2]; users without history have zeros."""
        worker = self.scorer()
        known = [row for row, history in enumerate(self.histories) if history]
        found = np.zeros((len(self.users), len(self.items) + 2))
        with torch.no_grad():
            found[known] = worker.maker.scorer.scores(
                ragged(self.histories), np.array(known)
            ).numpy()
        return found


def random_shop(
    workspace: Path, seed: int, *overrides: str, users: int = 30, items: int = 40, **more: Any
) -> Shop:
    """Write a shop with histories, fields and a model that are drawn with a seed."""
    rng = np.random.default_rng(seed)
    histories = [
        rng.integers(2, items + 2, rng.integers(0, 9)).tolist() if rng.random() < 0.8 else []
        for _ in range(users)
    ]
    of_items = [
        {
            "stock": None if rng.random() < 0.1 else int(rng.integers(0, 4)),
            "category": CATEGORIES[rng.integers(4)],
            "region": REGIONS[rng.integers(3)],
            "price": round(float(rng.random() * 10), 2),
            "available_until": TODAY + dt.timedelta(days=int(rng.integers(-5, 20))),
        }
        for _ in range(items)
    ]
    of_users = [
        {"region": REGIONS[rng.integers(3)], "budget": float(rng.integers(2, 12))}
        for _ in range(users)
    ]
    times = [
        sorted(NOW - SECOND * 3600 * int(hours) for hours in rng.integers(0, 500, len(history)))
        for history in histories
    ]
    config = tiny_config(workspace, *overrides)
    manifest = write_dataset(
        workspace,
        histories,
        items=items,
        group_rows=11,
        item_fields=_columns(of_items, {"available_until": pa.timestamp("us")}),
        user_fields=_columns(of_users, {}),
        times=times,
        **more,
    )
    return Shop(
        config, manifest, write_model(config, manifest), of_items, of_users, histories, times
    )


def _columns(rows: Sequence[Values], types: Mapping[str, pa.DataType]) -> dict[str, pa.Array]:
    return {name: pa.array([row[name] for row in rows], types.get(name)) for name in rows[0]}


Met = Callable[[Values, Values], bool | None]


def best_allowed(shop: Shop, may_get: Callable[[int, int], bool], length: int) -> list[list[int]]:
    """Return each user's list by a full sort: of the model, or of the most popular items.

    Args:
        shop: The shop.
        may_get: Takes the row of a user and the number of an item.
        length: Items of a list.
    """
    scores, found = shop.scores(), []
    numbers = range(2, len(shop.items) + 2)
    events = {n: sum(history.count(n) for history in shop.histories) for n in numbers}
    for user, history in enumerate(shop.histories):
        pool = [n for n in numbers if may_get(user, n)]
        if history:
            pool.sort(key=lambda n: -scores[user, n])
        else:
            pool = sorted((n for n in pool if events[n]), key=lambda n: -events[n])
        found.append(pool[:length])
    return found


def counted_model(shop: Shop, workspace: Path) -> str:
    """Write a model that counts which items users had together."""
    config = tiny_config(workspace, "train.algorithm=item_knn")
    items = len(shop.items) + 2
    events = np.bincount([item for own in shop.histories for item in own], minlength=items)
    knn = fit_item_knn(
        matrix(shop.histories, items), events.astype(float),
        neighbours=9, similarity="cosine", shrinkage=0.0, history_decay=0.8,
    )  # fmt: skip
    trained = Trained({"history_decay": 0.8}, knn.weights(), {})
    return save_bundle(config, shop.manifest, "k" * 64, trained)
