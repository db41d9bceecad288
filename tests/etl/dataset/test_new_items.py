"""Items that came after the training are recommended by their features."""

from pathlib import Path

import pytest
import torch

from conf.contract import Manifest
from conf.errors import VersionError
from conf.runs.inputs.input_files import fingerprint_inputs
from conf.runs.inputs.request_keys import dataset_request
from conf.runs.lineage import base_dataset
from conf.settings.config import Config
from conf.workspace.pointers import publish
from conf.workspace.versions import read_manifest
from etl.pipeline import run
from serving.scoring.worker import PartScorer, ScoringJob
from tests.etl.making import DAY, config_for, read_part, write_lines
from trainer.data.item_features import read_content
from trainer.data.trained_on import read_train_events
from trainer.models.bundle import Trained, build_model, model_section, save_bundle

pytestmark = pytest.mark.usefixtures("spark")
START = 1_772_323_200  # 2026-03-01T00:00:00Z


def day_config(root: Path, colours: dict[str, str]) -> Config:
    write_lines(root / "tables/items.csv", "id,colour", *(f"{i},{c}" for i, c in colours.items()))
    return config_for(
        root,
        items={"paths": ["tables/items.csv"], "id_column": "id", "fields": {"colour": {}}},
        etl={
            "catalogue": "table",
            "vocabulary": "extend",
            "features": {"items": {"encodings": {"colour": {"kind": "categorical"}}}},
        },
        train={"model": {"content": {"features": "all"}, "width": 8}},
    )


def day_run(config: Config) -> tuple[Manifest, Path]:
    inputs, workspace = fingerprint_inputs(config), Path(config.run.output)
    base = base_dataset(config, inputs, None)
    request = dataset_request(config, inputs, None, base)
    version = run(config, logical_date=None, inputs=inputs, request=request, base=base)
    manifest = read_manifest(workspace, "datasets", version, Manifest)
    publish(workspace, "datasets", version, manifest.logical_date)
    return manifest, workspace / "datasets" / version


def write_model(config: Config, manifest: Manifest, folder: Path) -> str:
    torch.manual_seed(2)
    section = model_section(config, manifest)
    model = build_model({**section, "embedding_std": 1.0}, manifest.vocabularies["item"].size)
    content = config.train.model.content
    events = torch.from_numpy(read_train_events(folder, manifest))
    model.items.set_catalogue(events, read_content(content, folder, manifest))
    return save_bundle(config, manifest, "m" * 64, Trained(section, model.state_dict(), {}))


def scorer(config: Config, dataset_id: str, model_id: str, folder: Path) -> PartScorer:
    score = config.score.model_copy(update={"list_length": 6, "drop_seen": False})
    return PartScorer(
        ScoringJob(Path(config.run.output), dataset_id, model_id, "r" * 64, folder, score)
    )


@pytest.mark.slow
def test_a_model_of_the_day_before_recommends_what_is_new(tmp_path: Path) -> None:
    colours = {"a": "red", "b": "blue", "c": "red"}
    write_lines(tmp_path / "log.csv", "user_id,item_id,time",
                *(f"{u},{i},{START + n}" for n, (u, i) in enumerate(
                    [(u, i) for u in "uv" for i in "abcab"])))  # fmt: skip
    config = day_config(tmp_path, colours)
    first, folder = day_run(config)
    model_id = write_model(config, first, folder)

    later = day_config(tmp_path, {**colours, "late": "red", "odd": ""})
    write_lines(tmp_path / "more.csv", "user_id,item_id,time", f"u,b,{START + DAY}")
    second, folder = day_run(later)
    numbers = {row["item_id"]: row["item_idx"] for row in read_part(folder, "items")}
    assert (numbers["late"], numbers["odd"]) == (5, 6)

    scores = scorer(later, second.id, model_id, tmp_path / "lists")
    user_ids, histories = scores.read(0)
    lists = scores.maker.lists(histories)

    assert len(user_ids) == 1
    assert all(numbers["late"] in row for row in lists.item_idx.tolist())
    assert not any(numbers["odd"] in row for row in lists.item_idx.tolist())


@pytest.mark.slow
def test_other_features_are_refused(tmp_path: Path) -> None:
    write_lines(tmp_path / "log.csv", "user_id,item_id,time",
                *(f"u,{item},{START + n}" for n, item in enumerate("abcab")))  # fmt: skip
    config = day_config(tmp_path, {"a": "red", "b": "blue", "c": "red"})
    first, folder = day_run(config)
    model_id = write_model(config, first, folder)

    write_lines(tmp_path / "tables/items.csv", "id,colour", "a,red", "late,red")
    plain = config.etl.model_copy(update={"features": type(config.etl.features)()})
    second, _ = day_run(config.model_copy(update={"etl": plain}))

    with pytest.raises(VersionError, match="item features item_colour, which the dataset lacks"):
        scorer(config, second.id, model_id, tmp_path / "lists")
