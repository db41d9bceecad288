import json
from pathlib import Path

import pytest

from conf.errors import ConfigError
from conf.runs.inputs.request_keys import dataset_request
from conf.settings.load import load_config

KEY = "0123456789abcdef0123456789abcdef"
YAML = """
run: {name: tiny, output: out}
input:
  root: data
  events: {log: {paths: [e.csv], time_unit: iso, columns: {value: price}}}
  items: {paths: [i.csv], id_column: id, title_column: name, fields: {brand: {}}}
  users: {paths: [u.csv], id_column: id, fields: {age: {}, region: {}, mail: {}}}
etl: {event_types: {view: {}}}
"""
COLUMNS = "privacy.columns"


@pytest.fixture
def yaml(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(YAML)
    return path


def test_rules_of_all_kinds_are_taken(yaml: Path) -> None:
    config = load_config(yaml, [
        f"{COLUMNS}.users.age={{method: generalise, step: 10}}",
        f"{COLUMNS}.users.mail={{method: mask, email: true}}",
        f"{COLUMNS}.items.title={{method: drop}}",
        f"{COLUMNS}.events.value={{method: generalise, step: 5}}",
        f"{COLUMNS}.events.time={{method: generalise, to: hour}}",
        "privacy.quasi_identifiers=[age, region]",
    ])  # fmt: skip
    assert config.privacy.columns.users["age"].step == 10
    assert not config.privacy.needs_key


REFUSED = {
    f"{COLUMNS}.users.aeg={{method: drop}}": "declares no such field; did you mean age",
    f"{COLUMNS}.items.colour={{method: drop}}": "input.items declares no such field, only brand",
    f"{COLUMNS}.users.age={{method: generalise}}": "takes one of step, keep and to; set are none",
    f"{COLUMNS}.users.age={{method: generalise, step: 5, keep: 1}}": r"\['step', 'keep'\]",
    f"{COLUMNS}.users.age={{method: drop, step: 5}}": "step goes with the method generalise",
    f"{COLUMNS}.users.age={{method: keep, first: 1}}": "first, last and email go with",
    f"{COLUMNS}.events.time={{method: drop}}": "a time can only be kept or generalised to a unit",
    f"{COLUMNS}.events.time={{method: generalise, to: month}}": "set it to day or a smaller unit",
    f"{COLUMNS}.events.value={{method: encrypt}}": "kept, dropped or generalised by step",
    "privacy.quasi_identifiers=[zip]": "input.users.fields has no 'zip', only age, mail, region",
    "privacy.k=1": r"privacy\.k=1",
    f"privacy.key={KEY}": r"write \$\{oc\.env:NAME\}",
    "privacy.key=${oc.env:HOME,text}": r"write \$\{oc\.env:NAME\}",
}


@pytest.mark.parametrize("override", REFUSED)
def test_a_rule_that_does_not_fit_is_refused(yaml: Path, override: str) -> None:
    with pytest.raises(ConfigError, match=REFUSED[override]) as caught:
        load_config(yaml, [override])
    assert KEY not in str(caught.value)


def test_a_quasi_identifier_has_to_be_one_that_can_be_made_coarser(yaml: Path) -> None:
    overrides = [f"{COLUMNS}.users.mail={{method: encrypt}}", "privacy.quasi_identifiers=[mail]"]
    with pytest.raises(ConfigError, match="'mail' has the method 'encrypt'"):
        load_config(yaml, overrides)


def test_coarse_times_need_times(yaml: Path) -> None:
    overrides = ["input.events.log.time_unit=order",
                 f"{COLUMNS}.events.time={{method: generalise, to: hour}}"]  # fmt: skip
    with pytest.raises(ConfigError, match="'order', which has no units"):
        load_config(yaml, overrides)


def test_the_key_is_masked_wherever_the_configuration_is_saved(
    yaml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_TEST_KEY", KEY)
    config = load_config(yaml, ["privacy.key=${oc.env:HEADRACE_TEST_KEY}"])
    assert config.privacy.key is not None and config.privacy.key.get_secret_value() == KEY
    assert KEY not in json.dumps(config.model_dump(mode="json"))
    assert KEY not in repr(config)
    assert load_config(yaml, ["privacy.key=${oc.env:HEADRACE_NO_KEY,null}"]).privacy.key is None


def test_a_dataset_is_another_one_with_another_protection(
    yaml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def request(key: str, *overrides: str) -> str:
        monkeypatch.setenv("HEADRACE_TEST_KEY", key)
        given = ["privacy.key=${oc.env:HEADRACE_TEST_KEY}", *overrides]
        return dataset_request(load_config(yaml, given), {}, None)

    plain, on = request(KEY), "privacy.mode=pseudonymise"
    requests = [plain, request(KEY, on), request(KEY[::-1], on), request(KEY, on, "privacy.k=6")]
    assert len(set(requests)) == 4
    assert request(KEY[::-1]) == plain  # no key is used
    with pytest.raises(ConfigError, match="needs a key"):
        dataset_request(load_config(yaml, [on]), {}, None)
