"""What lists depend on: with something else they have another basis."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from conf.contract import TITLE, Manifest
from conf.workspace.parquet import describe_parquet
from serving.carrying import basis
from tests.serving.carrying.two_days import Shop, basis_of_lists, first_day
from tests.serving.tiny_shop import write_model

TEXTS, BOOST = (
    "score.texts.languages=[en]",
    "score.rules.boosts={a: {where: 'stock = 1', times: 2}}",
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return first_day(tmp_path_factory.mktemp("shop"))


def basis_with(shop: Shop, *overrides: str, dataset: Manifest | None = None) -> str:
    found = basis_of_lists(shop, shop.config(*overrides), dataset or shop.first)[None]
    return found


def with_items(shop: Shop, name: str, values: pa.Array) -> Manifest:
    """Return the dataset with another column of items."""
    folder, entry = shop.workspace / "datasets" / shop.first.id, shop.first.files["items"][0]
    table = pq.read_table(folder / entry.path)
    path = folder / f"items/{name}.parquet"
    column = pa.array(values, table.schema.field(name).type)
    pq.write_table(table.set_column(table.schema.get_field_index(name), name, column), path)
    return shop.first.model_copy(
        update={"files": {**shop.first.files, "items": (describe_parquet(folder, path),)}}
    )


@pytest.mark.parametrize(
    ("common", "own"),
    [
        ([], ["score.cpus_per_worker=2"]),
        ([], ["score.gpus_per_worker=1"]),
        ([], ["score.list_length=5"]),
        ([TEXTS], ["score.texts.languages=[de]"]),
        ([], [BOOST]),
    ],
)
def test_other_settings_give_another_basis(common: list[str], own: list[str], shop: Shop) -> None:
    assert basis_with(shop, *common) != basis_with(shop, *common, *own)
    assert basis_with(shop, *common) == basis_with(shop, *common, "score.workers=2")


def test_other_items_and_weights_of_events_give_another_basis(shop: Shop) -> None:
    items = shop.first.vocabularies["item"].size - 2
    titles = with_items(shop, TITLE, ["another"] * items)
    stock = with_items(shop, "stock", [1] * items)
    weights = {"etl": {"event_types": {"buy": {"weight": 3.0}}}}
    weighted = shop.first.model_copy(update={"config": {**shop.first.config, **weights}})
    for setting, used in ((TEXTS, (titles, weighted)), (BOOST, (stock,))):
        plain = basis_with(shop, setting)
        for dataset in (titles, stock, weighted):
            assert (basis_with(shop, setting, dataset=dataset) != plain) == (dataset in used)


def test_another_release_gives_another_basis(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = basis_with(shop)
    for place in range(len(basis._RELEASES)):
        releases = [*basis._RELEASES]
        releases[place] = "0"
        monkeypatch.setattr(basis, "_RELEASES", releases)
        assert basis_with(shop) != plain
        monkeypatch.undo()
    assert torch.__version__ in basis._RELEASES


def test_other_weights_of_one_id_give_another_basis(tmp_path: Path) -> None:
    own = first_day(tmp_path)
    before = basis_with(own)
    (model,) = (path for path in (tmp_path / "models").iterdir() if path.is_dir())
    (model / "bundle.json").unlink()
    assert write_model(own.config(), own.first, fill=0.5) == model.name
    assert basis_with(own) != before
