"""A shop whose lists have candidates, and what its lists under rules must be, by loops."""

from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import torch

from conf.contract import (
    HISTORY_ITEMS,
    HISTORY_TIMES,
    MAIN,
    NUM_RESERVED,
    RANKER,
    TRAIN_EVENTS,
    Manifest,
)
from conf.runs.inputs.list_files import list_files
from conf.runs.lineage import shown_lists
from conf.settings.config import Config
from serving.gates.list_counts import Checked, check_parts
from serving.gates.rule_checks import RuleCheck
from serving.publishing.parts import read_item_ids
from serving.rules.reading.given import Given, read_given
from serving.rules.shown import shown_version
from serving.scoring.list_model import load_model
from serving.scoring.staged import stages_of
from serving.scoring.worker import PartScorer, ScoringJob
from tests.serving.impression_shop import shop_config, write_ranker, write_shop
from tests.serving.rules.test_fatigue import write_lists
from tests.serving.tiny_shop import read_lists, write_model
from tests.trainer.small_parts import ragged
from trainer.prediction.pairs import load_pairs

USERS, ITEMS, LENGTH = 40, 40, 5
NETWORK = (
    "train.algorithm=neural",
    "train.model={width: 8, blocks: 1, heads: 2, history_length: 6}",
)
RANKING = ("train.algorithm=ranking", "train.metric=auc", "train.ranking.interaction=deepfm")
CHANNELS = {"net": 9, "pop": 7, "picks": 3}
CANDIDATES = (
    "score.candidates={net: {from: model, count: 9}, pop: {from: popularity, count: 7, "
    "by: country}, picks: {from: list, path: picks.txt, count: 3}}"
)
PICKS = (7, 9, 8, 30, 5, 31)
DENIED, ALLOWED = (9, 10), tuple(range(4, ITEMS + 2))
SHOWN = {user: [2 + (user * 7 + step * 3) % ITEMS for step in range(8)] for user in range(USERS)}
"""What earlier lists had."""
KINDS = {
    "fused": (*NETWORK, "ranker=null", CANDIDATES),
    "ranked": (*NETWORK, CANDIDATES),
    "alone": (*RANKING, "ranker=null"),
}
"""What orders the candidates: their ranks, a ranker, or a ranking model on the catalogue."""


class Rows(NamedTuple):
    """The tables of the shop as Python values."""

    histories: list[list[int]]
    countries: list[str | None]
    margins: dict[int, float | None]
    events: dict[int, int]
    """Training events by item."""
    named: dict[str, dict[str | None, list[int]]]
    """All items by the number of training events, by country."""


class StagedShop(NamedTuple):
    """A dataset with its models, and how lists are made."""

    kind: str
    config: Config
    manifest: Manifest
    models: Mapping[str, str]
    """By role."""

    @property
    def workspace(self) -> Path:
        return Path(self.config.run.output)

    @property
    def folder(self) -> Path:
        return self.workspace / "made" / self.kind

    def given(self) -> Given:
        ids = read_item_ids(self.workspace / "datasets" / self.manifest.id, self.manifest)
        given = read_given(self.config, self.manifest, ids, list_files(self.config))
        names = shown_lists(self.config, self.manifest.id)
        versions = [shown_version(self.workspace, one) for one in names]
        return given._replace(shown=versions, item_ids=ids) if versions else given

    def worker(self) -> PartScorer:
        main = load_model(self.workspace, self.models[MAIN], self.manifest)
        others = {role: one for role, one in self.models.items() if role != MAIN}
        files = list_files(self.config)
        stages = stages_of(self.config, self.manifest, main, others, files)
        self.folder.mkdir(parents=True, exist_ok=True)
        return PartScorer(
            ScoringJob(
                self.workspace, self.manifest.id, self.models[MAIN], "r", self.folder,
                self.config.score, stages=stages, given=self.given(),
            )
        )  # fmt: skip

    def lists(self) -> tuple[list[list[dict[str, Any]]], Checked]:
        """Write all parts; return the rows of each user, and what the gates count in them."""
        worker = self.worker()
        for part in range(len(self.manifest.row_groups("histories"))):
            worker.score(part)
        found: list[list[dict[str, Any]]] = [[] for _ in range(USERS)]
        for row in read_lists(self.folder):
            found[int(row["user_id"][1:])].append(row)
        return found, self.counted(worker)

    def counted(self, worker: PartScorer) -> Checked:
        dataset, staged = self.workspace / "datasets" / self.manifest.id, worker.maker.staged
        assert staged is not None
        return check_parts(
            self.workspace, self.manifest, self.folder, self.config.score, staged.pools,
            is_personal=True, guaranteed=staged.guaranteed,
            check=RuleCheck(dataset, self.manifest, self.config.score, self.given()),
        )  # fmt: skip

    def scores(self) -> np.ndarray:
        """Return the scores of the network: [users, items + 2]."""
        scorer = self.worker().maker.scorer
        assert scorer is not None
        histories = ragged(self.rows().histories)
        with torch.no_grad():
            found: np.ndarray = scorer.scores(histories, np.arange(USERS)).numpy()
        return found

    def values(self) -> np.ndarray:
        """Return what the ranker predicts of all pairs: [users, items + 2]; NaN without one."""
        role = MAIN if self.kind == "alone" else RANKER
        found = np.full((USERS, ITEMS + NUM_RESERVED), np.nan)
        if role not in self.models or self.kind == "fused":
            return found
        cpu = torch.device("cpu")
        pairs = load_pairs(self.workspace, self.models[role], self.manifest, {}, cpu)
        folder = self.workspace / "datasets" / self.manifest.id
        rows = pq.read_table(folder / "histories").to_pylist()
        times = np.concatenate([row[HISTORY_TIMES] for row in rows])
        histories = ragged([row[HISTORY_ITEMS] for row in rows])
        part = pairs.for_part(
            histories._replace(beside={HISTORY_TIMES: times}), np.arange(USERS) + NUM_RESERVED
        )
        items = np.arange(NUM_RESERVED, ITEMS + NUM_RESERVED)
        for user in range(USERS):
            found[user, items] = part.predictions(np.full(ITEMS, user), items)[:, 0]
        return found

    def rows(self) -> Rows:
        folder = self.workspace / "datasets" / self.manifest.id
        items = pq.read_table(folder / "items")
        numbers = range(NUM_RESERVED, ITEMS + NUM_RESERVED)
        countries = pq.read_table(folder / "users")["country"].to_pylist()
        train = [row[HISTORY_ITEMS] for row in pq.read_table(folder / "train").to_pylist()]
        named: dict[str | None, list[int]] = {}
        for country in {*countries}:
            mine = [
                item
                for user, row in enumerate(train)
                if country in (None, countries[user])
                for item in row
            ]
            listed = sorted({*mine}, key=lambda n: (-mine.count(n), n))
            named[country] = listed
        return Rows(
            [row[HISTORY_ITEMS] for row in pq.read_table(folder / "histories").to_pylist()],
            countries,
            dict(zip(numbers, items["margin"].to_pylist(), strict=True)),
            dict(zip(numbers, items[TRAIN_EVENTS].to_pylist(), strict=True)),
            {"pop": named},
        )


def write_staged(workspace: Path) -> StagedShop:
    """Write the shop with a network, a ranker and a ranking model of random weights."""
    manifest = write_shop(workspace, users=USERS, items=ITEMS)
    for name, items in (("picks", PICKS), ("denied", DENIED), ("allowed", ALLOWED)):
        (workspace / f"{name}.txt").write_text("".join(f"i{item}\n" for item in items))
    config = shop_config(workspace, *NETWORK)
    models = {MAIN: write_model(config, manifest), RANKER: write_ranker(config, manifest)}
    alone = shop_config(workspace, *KINDS["alone"])
    models["alone"] = write_ranker(alone, manifest, "alone")
    write_lists(workspace, "2026-01-27", SHOWN)
    return StagedShop("ranked", config, manifest, models)


def made_by(shop: StagedShop, kind: str, *overrides: str) -> StagedShop:
    """Return the shop with lists of one kind."""
    main = shop.models["alone" if kind == "alone" else MAIN]
    models = {MAIN: main, RANKER: shop.models[RANKER]} if kind == "ranked" else {MAIN: main}
    config = shop_config(shop.workspace, *KINDS[kind], *overrides)
    return shop._replace(kind=kind, config=config, models=models)


class Known(NamedTuple):
    """Scores, values and tables that the brute force starts from."""

    kind: str
    scores: np.ndarray
    values: np.ndarray
    rows: Rows


def known_of(shop: StagedShop) -> Known:
    scores = np.zeros((0, 0)) if shop.kind == "alone" else shop.scores()
    return Known(shop.kind, scores, shop.values(), shop.rows())


def named_by(known: Known, user: int, may: set[int]) -> dict[str, list[int]]:
    """Return the items that each channel names."""
    if known.kind == "alone":
        return {"catalogue": sorted(may)}
    scores, rows = known.scores[user], known.rows
    return {
        "net": sorted(may, key=lambda n: (-scores[n], n))[: CHANNELS["net"]],
        "pop": [n for n in rows.named["pop"][rows.countries[user]] if n in may][: CHANNELS["pop"]],
        "picks": [n for n in PICKS if n in may][: CHANNELS["picks"]],
    }


def values_of(known: Known, user: int, named: Mapping[str, list[int]]) -> dict[int, float]:
    """Return the value of each candidate."""
    found: dict[int, float] = {}
    for items in named.values():
        for rank, item in enumerate(items, 1):
            found[item] = found.get(item, 0.0) + 1 / (60 + rank)
    if known.kind == "fused":
        return found
    return {item: float(known.values[user, item]) for item in found}


def quota(user: int, at_least: float) -> int:
    return ceil((user + 1) * at_least * LENGTH) - ceil(user * at_least * LENGTH)
