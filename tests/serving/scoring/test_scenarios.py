"""Several kinds of lists in one run: each as if it were made alone."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conf.contract import Manifest
from conf.runs.list_files import list_files
from conf.settings.config import Config
from serving.kinds.prepared import Source, prepared
from serving.publishing.parts import read_item_ids
from serving.ranking import user_vectors
from serving.scoring.list_model import load_model
from serving.scoring.worker import PartScorer, ScoringJob
from tests.serving.random_shop import Shop, random_shop
from tests.serving.tiny_shop import tiny_config
from tests.trainer.small_parts import matrix
from trainer.models.bundle import Trained, save_bundle
from trainer.models.item_knn import fit_item_knn

HOME = "score.scenarios.home={rules: {where: {in_stock: 'stock > 0'}, caps: {category: 2}}}"
CART = "score.scenarios.cart={list_length: 3, drop_seen: false, reasons: 1}"
NORTH = "score.scenarios.north={list_length: 6, users: \"user.region = 'north'\"}"
KINDS = [HOME, CART, NORTH]


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


def job_of(config: Config, manifest: Manifest, model_id: str, folder: Path) -> ScoringJob:
    workspace = Path(config.run.output)
    item_ids = read_item_ids(workspace / "datasets" / manifest.id, manifest)
    model = load_model(workspace, model_id, manifest)
    source = Source(config, manifest, model, item_ids, {}, list_files(config))
    default, *others = (one.kind for one in prepared(source, (), {}))
    job = ScoringJob(
        workspace, manifest.id, model_id, "r", folder, config.score, None,
        default.stages, default.templates, default.given, tuple(others),
    )  # fmt: skip
    for kind in job.kinds:
        kind.folder_in(folder).mkdir(parents=True)
    return job


def rows_of(folder: Path) -> pa.Table:
    return pa.concat_tables(pq.read_table(path) for path in sorted(folder.glob("part-*.parquet")))


def made(config: Config, shop: Shop, model_id: str, folder: Path) -> Path:
    worker = PartScorer(job_of(config, shop.manifest, model_id, folder))
    for part in range(len(shop.manifest.row_groups("histories"))):
        worker.score(part)
    return folder


def assert_alike(found: pa.Table, rows: pa.Table) -> None:
    """Batches of other users differ in the last bits of scores and weights, in nothing else."""
    for one, other in zip(found.to_pylist(), rows.to_pylist(), strict=True):
        assert one.pop("score") == pytest.approx(other.pop("score"), rel=1e-5)
        own, others = one.pop("reasons") or [], other.pop("reasons") or []
        assert [r["item_id"] for r in own] == [r["item_id"] for r in others]
        weights = [r["weight"] for r in others]
        assert [r["weight"] for r in own] == pytest.approx(weights, abs=1e-5)
        assert one == other


@pytest.mark.parametrize("algorithm", ["neural", "item_knn"])
def test_lists_of_a_scenario_are_those_of_a_run_with_its_settings(
    tmp_path: Path, algorithm: str
) -> None:
    shop = random_shop(tmp_path, 7, users=60)
    model_id = shop.model_id if algorithm == "neural" else counted_model(shop, tmp_path)
    config = tiny_config(tmp_path, *KINDS)

    together = made(config, shop, model_id, tmp_path / "together")

    regions = {f"u{n}": user["region"] for n, user in enumerate(shop.users)}
    for name, section in config.score.sections.items():
        alone = config.model_copy(update={"score": section.model_copy(update={"scenarios": {}})})
        rows = rows_of(made(alone, shop, model_id, tmp_path / f"alone-{name}"))
        found = rows_of(together if name is None else together / name)
        assert found.num_rows > 60
        if name != "north":
            assert found.equals(rows)
            continue
        is_in = [regions[user] == "north" for user in rows["user_id"].to_pylist()]
        assert 0 < sum(is_in) < len(is_in)
        assert_alike(found, rows.filter(pa.array(is_in)))
    assert rows_of(together / "cart").num_rows == 3 * 60
    assert max(rows_of(together / "north")["position"].to_pylist()) == 6


def test_each_user_is_encoded_once_for_all_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = random_shop(tmp_path, 8, users=40)
    encode, asked = user_vectors.encoded, []

    def counted(scorer, histories, rows):  # type: ignore[no-untyped-def]
        asked.append(len(rows))
        return encode(scorer, histories, rows)

    monkeypatch.setattr(user_vectors, "encoded", counted)

    made(tiny_config(tmp_path, *KINDS), shop, shop.model_id, tmp_path / "made")

    assert sum(asked) == sum(bool(history) for history in shop.histories)


def test_models_and_rules_that_are_equal_are_loaded_once(tmp_path: Path) -> None:
    shop = random_shop(tmp_path, 9)
    rules = "score.rules.where.in_stock='stock > 0'"
    config = tiny_config(tmp_path, rules, CART, NORTH, "score.scenarios.free={rules: {}}")

    worker = PartScorer(job_of(config, shop.manifest, shop.model_id, tmp_path / "made"))

    default, cart, north, free = (making.maker for making in worker.makings)
    assert default.own_ranker is cart.own_ranker is north.own_ranker is free.own_ranker
    assert default.book is north.book is not None and free.book is None
    assert cart.book is not default.book  # it keeps what users have seen


def test_a_part_with_nobody_in_the_scenario_has_no_rows(tmp_path: Path) -> None:
    shop = random_shop(tmp_path, 10, users=30)
    first = {user["budget"] for user in shop.users[:11]}
    last = next(user["budget"] for user in shop.users[11:] if user["budget"] not in first)
    config = tiny_config(
        tmp_path,
        f"score.scenarios.few={{users: 'user.budget = {last}', rules: {{caps: {{category: 2}}}}}}",
    )

    folder = made(config, shop, shop.model_id, tmp_path / "made") / "few"

    assert pq.read_table(folder / "part-00000.parquet").num_rows == 0
    wanted = {f"u{n}" for n, user in enumerate(shop.users) if user["budget"] == last}
    assert {*rows_of(folder)["user_id"].to_pylist()} == wanted
