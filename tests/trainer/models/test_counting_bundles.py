"""Every model that counts: its parts add up, and it comes back from its bundle as it was."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from conf.contract import Manifest
from conf.errors import ConfigError, VersionError
from conf.settings.config import Config
from conf.settings.load import load_config
from conf.workspace.json_files import read_json, write_json
from tests.trainer.small_parts import ragged, write_config, write_dataset
from trainer.evaluation.figures import source_of
from trainer.models.bundle import Trained, load_bundle, load_scorer, save_bundle
from trainer.models.counting import COUNTING, CountingModel, fit_counting, section_of

ITEMS = 30
RNG = np.random.default_rng(7)
TRAIN = [RNG.integers(1, 32, RNG.integers(2, 9)).tolist() for _ in range(50)]
HISTORIES = ragged([[5, 6, 5, 9], [1], [31, 2, 1, 3, 3, 12, 8], [7, 1]])
ROWS = np.array([2, 0, 3, 1])
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Manifest]:
    workspace = tmp_path_factory.mktemp("bundles")
    targets = [2 + place % ITEMS for place in range(len(TRAIN))]
    manifest = write_dataset(workspace, TRAIN, targets, targets, items=ITEMS)
    return load_config(write_config(workspace)), manifest


def save(config: Config, manifest: Manifest, name: str, model: CountingModel) -> str:
    config = config.model_copy(
        update={"train": config.train.model_copy(update={"algorithm": name})}
    )
    trained = Trained(section_of(name, config.train), model.weights(), {})
    request = f"{next(NUMBERS):012d}" + "a" * 52
    return save_bundle(config, manifest, request, trained)


@pytest.mark.parametrize("name", COUNTING)
def test_a_bundle_gives_the_same_bits_and_scores(name: str, shop: tuple[Config, Manifest]) -> None:
    config, manifest = shop
    model = fit_counting(name, source_of(config, manifest))

    version = save(config, manifest, name, model)
    bundle, found = load_scorer(Path(config.run.output), version)

    assert bundle.algorithm == name
    for key, tensor in found.weights().items():  # type: ignore[attr-defined]
        torch.testing.assert_close(tensor, model.weights()[key], rtol=0, atol=0)
    expected = model.scores(HISTORIES, ROWS)
    assert expected.shape == (4, ITEMS + 2) and torch.equal(found.scores(HISTORIES, ROWS), expected)
    assert len(expected[:, 2:].unique()) > 5


@pytest.mark.parametrize("name", COUNTING)
def test_the_parts_of_the_events_add_up_to_the_score(
    name: str, shop: tuple[Config, Manifest]
) -> None:
    model = fit_counting(name, source_of(*shop))
    wanted = torch.tensor([[4, 2, 20], [9, 8, 30], [3, 5, 10], [6, 7, 11]])

    parts = model.contributions(HISTORIES, ROWS, wanted)

    scores = model.scores(HISTORIES, ROWS).double().gather(1, wanted)
    without = model.scores(ragged([[1]]), np.arange(1)).double()[0, wanted]  # nothing known of
    assert parts.shape == (4, 3, 7)
    torch.testing.assert_close(parts.sum(-1), scores - without, rtol=1e-4, atol=1e-6)
    assert not parts[1, :, 4:].any() and not parts[3].any()  # behind the end; nothing known
    if "popularity" not in name:
        assert bool((parts[0].abs().sum(0) > 0).any())


@pytest.mark.parametrize("name", COUNTING)
def test_held_out_parts_are_not_looked_at(
    name: str, shop: tuple[Config, Manifest], tmp_path: Path
) -> None:
    others = [31 - place % ITEMS for place in range(len(TRAIN))]
    manifest = write_dataset(tmp_path, TRAIN, others, others, items=ITEMS)
    changed = fit_counting(name, source_of(load_config(write_config(tmp_path)), manifest))

    model = fit_counting(name, source_of(*shop))

    for key, tensor in changed.weights().items():
        assert torch.equal(tensor, model.weights()[key])


@pytest.mark.parametrize("name", ["popularity", "ease", "als"])
def test_a_changed_byte_and_a_missing_tensor_are_noticed(
    name: str, shop: tuple[Config, Manifest], tmp_path: Path
) -> None:
    manifest = write_dataset(
        tmp_path, TRAIN, [2] * len(TRAIN), [3] * len(TRAIN), items=ITEMS
    )  # fmt: skip
    config = load_config(write_config(tmp_path))
    version = save(config, manifest, name, fit_counting(name, source_of(config, manifest)))
    folder = tmp_path / "models" / version
    record = read_json(folder / "bundle.json")
    record["algorithm"] = "als" if name == "ease" else "item_knn"
    record["model"] = section_of(record["algorithm"], config.train)
    write_json(folder / "bundle.json", record)
    with pytest.raises(VersionError, match="does not fit its bundle"):
        load_scorer(tmp_path, version)

    weights = folder / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(VersionError, match="SHA-256 differs"):
        load_scorer(tmp_path, version)


def test_weights_of_another_catalogue_are_refused(shop: tuple[Config, Manifest]) -> None:
    config, manifest = shop
    model = fit_counting("ease", source_of(config, manifest))
    larger = manifest.vocabularies["item"].model_copy(update={"size": ITEMS + 3})
    other = manifest.model_copy(update={"vocabularies": {"item": larger}, "logical_date": "later"})
    version = save(config, other, "ease", model)

    with pytest.raises(VersionError, match="everyones has 32 rows for 33 items"):
        load_scorer(Path(config.run.output), version)


def test_where_a_network_is_needed_another_model_is_refused(shop: tuple[Config, Manifest]) -> None:
    config, manifest = shop
    version = save(config, manifest, "markov", fit_counting("markov", source_of(config, manifest)))

    with pytest.raises(VersionError, match=r"has train\.algorithm=markov"):
        load_bundle(Path(config.run.output), version)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"input": {"events": {"log": {"time_unit": "order"}}}}, "log.time_unit=order"),
        ({"etl": {"windows": "last", "split": {"kind": "leave_one_out"}}}, "etl.windows=last"),
        ({"etl": {"windows": "all", "split": {"kind": "random"}}}, "etl.split.kind=random"),
    ],
)
def test_recent_popularity_refuses_datasets_that_do_not_tell_the_time(
    changes: dict[str, object], said: str, shop: tuple[Config, Manifest]
) -> None:
    config, manifest = shop
    other = manifest.model_copy(update={"config": {**manifest.config, **changes}})

    with pytest.raises(ConfigError, match=said):
        fit_counting("recent_popularity", source_of(config, other))
