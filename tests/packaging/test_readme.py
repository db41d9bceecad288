"""What the README says can be done as it says."""

import re
from pathlib import Path

from yaml import safe_load

from conf import errors
from conf.settings.config import Config
from conf.settings.etl import Etl
from conf.settings.load import load_config
from conf.settings.privacy import Privacy
from tests.packaging.checkout import CHECKOUT

README = (CHECKOUT / "README.md").read_text()


def test_configuration_of_the_readme_is_valid(tmp_path: Path) -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 5
    path = tmp_path / "shop.yaml"
    path.write_text(f"{blocks[0]}\n{blocks[2]}\n{blocks[3]}")
    config = load_config(path)
    assert config.input.events["log"].columns.user_id == "customer"
    assert list(config.compare.models) == ["network", "gru", "counted"]
    assert list(config.tune.space)[1:] == ["model.width", "model.dropout"]
    etl = {"event_types": {"purchase": {}}, **safe_load(blocks[1])["etl"]}
    assert Etl.model_validate(etl).features.items.encodings["image"].kind == "vector"
    privacy = Privacy.model_validate(safe_load(blocks[4])["privacy"])
    assert privacy.columns.users["age"].step == 10


def test_keys_of_the_readme_exist() -> None:
    sections = "|".join(Config.model_fields)
    named = set(re.findall(rf"`((?:{sections})(?:\.[a-z_]+)+)[`=]", README))
    keys = set(dotted_keys(Config))
    assert named - keys == set()
    assert len(named) > 8


def dotted_keys(model: type, prefix: str = "") -> list[str]:
    keys = []
    for name, field in model.model_fields.items():
        keys.append(f"{prefix}{name}")
        inner = [part for part in (field.annotation, *getattr(field.annotation, "__args__", ()))
                 if hasattr(part, "model_fields")]  # fmt: skip
        for part in inner:
            keys += dotted_keys(part, f"{prefix}{name}.")
    return keys


def test_exit_codes_of_the_readme_are_those_of_the_errors() -> None:
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", README, flags=re.MULTILINE)}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    raised = {kind.exit_code for kind in kinds if issubclass(kind, errors.HeadraceError)}
    assert listed == {0, *raised}


def test_files_that_the_readme_names_exist() -> None:
    named = set(re.findall(r"\b((?:conf|etl|trainer|serving)/[\w/-]+\.(?:py|yaml))\b", README))
    assert [name for name in sorted(named) if not (CHECKOUT / name).exists()] == []
