from pathlib import Path

import pytest
import torch

from conf.contract import Bundle, Manifest, Vocabulary
from conf.errors import VersionError
from conf.settings.load import load_config
from conf.workspace.json_files import read_json
from conf.workspace.versions import read_manifest
from tests.bench.made_up import write_dataset
from trainer.models.bundle import (
    Trained,
    build_model,
    load_bundle,
    model_section,
    require_same_vocabulary,
    save_bundle,
    train_section,
)

CONFIG = """
run: {{name: tiny, output: "{folder}"}}
input: {{root: none, events: {{log: {{paths: [none], time_unit: seconds}}}}}}
etl: {{event_types: {{view: {{}}}}}}
train: {{algorithm: neural, model: {{width: 8, blocks: 1, heads: 1}}}}
"""


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, str, Manifest, dict[str, torch.Tensor]]:
    path = tmp_path / "tiny.yaml"
    path.write_text(CONFIG.format(folder=tmp_path))
    config = load_config(path)
    manifest = write_dataset(tmp_path, users=20, items=15, mean_length=5, row_group_rows=10)
    section = model_section(config, manifest)
    weights = build_model(section, 17).state_dict()
    version = save_bundle(config, manifest, "a" * 64, Trained(section, weights, {"test": {}}))
    return tmp_path, version, manifest, weights


def test_a_bundle_gives_back_the_weights_it_was_made_of(
    saved: tuple[Path, str, Manifest, dict[str, torch.Tensor]],
) -> None:
    workspace, version, manifest, weights = saved

    bundle, model = load_bundle(workspace, version)

    assert bundle.dataset_id == manifest.id and not model.training
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, weights[name], rtol=0, atol=0)
    require_same_vocabulary(bundle, manifest)
    assert not list((workspace / "models" / version).glob("*.pt"))


def test_a_changed_byte_is_noticed(
    saved: tuple[Path, str, Manifest, dict[str, torch.Tensor]],
) -> None:
    workspace, version, _, _ = saved
    path = workspace / "models" / version / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    with pytest.raises(VersionError, match="SHA-256 differs") as caught:
        load_bundle(workspace, version)
    assert caught.value.exit_code == 6


def test_a_vocabulary_of_another_dataset_is_refused(
    saved: tuple[Path, str, Manifest, dict[str, torch.Tensor]],
) -> None:
    workspace, version, manifest, _ = saved
    path = workspace / "models" / version / "bundle.json"
    record = read_json(path)
    record["vocabularies"]["item"]["fingerprint"] = "of another"

    with pytest.raises(VersionError, match="item vocabulary of another"):
        require_same_vocabulary(Bundle.model_validate(record), manifest)


def test_a_dataset_that_goes_on_from_the_models_vocabulary_is_accepted(
    saved: tuple[Path, str, Manifest, dict[str, torch.Tensor]],
) -> None:
    workspace, version, manifest, _ = saved
    bundle, _ = load_bundle(workspace, version)
    ours = bundle.vocabularies["item"]
    grown = Vocabulary(
        size=ours.size + 3, fingerprint="of more", earlier=((ours.size, ours.fingerprint),)
    )
    require_same_vocabulary(bundle, manifest.model_copy(update={"vocabularies": {"item": grown}}))

    shrunk = grown.model_copy(update={"earlier": ((ours.size - 1, ours.fingerprint),)})
    with pytest.raises(VersionError, match="item vocabulary"):
        require_same_vocabulary(
            bundle, manifest.model_copy(update={"vocabularies": {"item": shrunk}})
        )


def test_event_types_of_another_dataset_are_refused_where_they_enter(
    saved: tuple[Path, str, Manifest, dict[str, torch.Tensor]],
) -> None:
    """Of a network, and of the one in a blend."""
    workspace, version, manifest, _ = saved
    bundle, _ = load_bundle(workspace, version)
    others = manifest.model_copy(update={"event_types": ("click", "view")})
    require_same_vocabulary(bundle, others)

    typed = {**bundle.model, "event_types": 1}
    for section in (typed, {"members": {"neural": typed, "markov": {}}, "blend": {}}):
        with pytest.raises(VersionError, match="uses the event types view"):
            require_same_vocabulary(bundle.model_copy(update={"model": section}), others)


def test_settings_of_another_release_are_told_with_their_key(
    saved: tuple[Path, str, Manifest, dict[str, torch.Tensor]],
) -> None:
    workspace, version, _, _ = saved
    bundle = read_manifest(workspace, "models", version, Bundle)
    assert train_section(bundle).model.width == 8

    train = {**bundle.config["train"], "modle": {}}
    other = bundle.model_copy(update={"config": {**bundle.config, "train": train}})
    with pytest.raises(VersionError, match=r"train\.modle: unknown key; did you mean model\?"):
        train_section(other)
