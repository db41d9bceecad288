"""What lists depend on: with something else they have another basis."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from conf.contract import TITLE, Bundle, Manifest
from conf.workspace.hashes import hash_file
from conf.workspace.parquet import describe_parquet
from conf.workspace.pointers import current_version
from conf.workspace.versions import commit, read_manifest
from serving.carrying import basis
from tests.serving.carrying.two_days import Shop, basis_of_lists, first_day
from trainer.models.bundle import WEIGHTS_NAME

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


@pytest.mark.parametrize("counts", [False, True])
def test_other_weights_of_one_id_give_another_basis(counts: bool, tmp_path: Path) -> None:
    own = ["train.algorithm=item_knn"] if counts else []
    shop = first_day(tmp_path, *own, counts=counts)
    before = basis_with(shop, *own)
    bundle = read_manifest(tmp_path, "models", current_version(tmp_path, "models"), Bundle)
    path = tmp_path / "models" / bundle.id / WEIGHTS_NAME
    weights = load_file(path)
    names = [name for name in weights if not name.startswith("items.")]  # such as of an encoder
    name = next(name for name in names if weights[name].is_floating_point())
    save_file({**weights, name: weights[name] + 1}, path)
    changed = {"sha256": hash_file(path), "bytes": path.stat().st_size}
    files = tuple(
        file.model_copy(update=changed) if file.path == WEIGHTS_NAME else file
        for file in bundle.files["model"]
    )
    entries = {**bundle.files, "model": files}
    commit(tmp_path, "models", bundle.model_copy(update={"files": entries}))
    assert basis_with(shop, *own) != before
