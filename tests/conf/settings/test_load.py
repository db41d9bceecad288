import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from conf.errors import ConfigError
from conf.settings.config import Config
from conf.settings.load import load_config, write_changed
from tests.packaging.checkout import CHECKOUT

MINIMAL = """
run: {name: tiny, output: out}
input:
  root: data
  events: {log: {paths: [events.csv], time_unit: seconds}}
etl:
  event_types: {view: {}}
"""


@pytest.fixture
def yaml(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(MINIMAL)
    return path


def test_overrides_change_the_file(yaml: Path) -> None:
    config = load_config(yaml, ["train.epochs=3", "run.output=elsewhere", "score.drop_seen=false"])

    assert (config.train.epochs, config.run.output, config.score.drop_seen) == (
        3,
        "elsewhere",
        False,
    )


def test_an_empty_section_empties_what_the_file_has(yaml: Path) -> None:
    file = [
        "score.rules={where: {a: b > 1}, caps: {c: 2}}",
        "score.scenarios={home: {list_length: 3}, cart: {}}",
    ]

    changed = load_config(yaml, [*file, "score.rules.caps={}", "score.scenarios={}"]).score
    again = load_config(yaml, [*file, "score.scenarios={}", "score.scenarios.new={}"]).score

    assert changed.rules is not None and not changed.rules.caps and changed.rules.where
    assert not changed.scenarios and [*again.scenarios] == ["new"]
    assert [*load_config(yaml, [*file, "score.scenarios.home={}"]).score.scenarios] == [
        "home", "cart",
    ]  # fmt: skip


def test_environment_is_read_only_where_the_file_says_so(
    yaml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_TEST_ROOT", "/data/from/environment")

    assert load_config(yaml).input.root == "data"
    config = load_config(yaml, ["input.root=${oc.env:HEADRACE_TEST_ROOT}"])
    assert config.input.root == "/data/from/environment"


def test_all_problems_are_reported_at_once_with_the_nearest_key(yaml: Path) -> None:
    overrides = ["train.epoch=3", "train.batch_rows=many", "score.list_length=0", "etl.split.knd=x"]

    with pytest.raises(ConfigError) as caught:
        load_config(yaml, overrides)

    message = str(caught.value)
    assert caught.value.exit_code == 2
    assert str(yaml) in message and "4 problem(s)" in message
    assert "train.epoch: unknown key; did you mean train.epochs?" in message
    assert "train.batch_rows='many'" in message
    assert "score.list_length=0" in message
    assert "did you mean etl.split.kind?" in message


def test_a_nested_optional_section_suggests_its_keys(yaml: Path) -> None:
    overrides = ["input.items.paths=[a]", "input.items.id_column=i", "input.items.title_colum=t"]

    with pytest.raises(ConfigError, match=r"did you mean input\.items\.title_column"):
        load_config(yaml, overrides)


@pytest.mark.parametrize("override", ["train.epochs", "=3"])
def test_a_malformed_override_is_named(yaml: Path, override: str) -> None:
    with pytest.raises(ConfigError, match=r"not of the form section\.key=value"):
        load_config(yaml, [override])


def test_a_missing_file_and_a_broken_one_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_config(tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("run: [unclosed")
    with pytest.raises(ConfigError, match="cannot be read as a configuration"):
        load_config(broken)


def test_a_temporal_split_of_a_log_without_times_is_refused(yaml: Path) -> None:
    with pytest.raises(ConfigError, match="no common time"):
        load_config(yaml, ["input.events.log.time_unit=order", "etl.split.kind=temporal"])


def test_order_of_lines_needs_the_unit_order(yaml: Path) -> None:
    with pytest.raises(ConfigError, match="time_unit has to be 'order'"):
        load_config(yaml, ["input.events.log.columns.time=null"])


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("input.events.log.time_uni=iso", "input.events.log.time_unit"),
        ("input.events.log.columns.usr_id=x", "input.events.log.columns.user_id"),
        ("input.events.log.fields.price.tpe=number", "input.events.log.fields.price.type"),
        ("etl.event_types.view.wight=2", "etl.event_types.view.weight"),
        ("privacy.columns.events.price.metod=drop", "privacy.columns.events.price.method"),
        (
            "etl.features.events.encodings.price={kind: numeric, scal: none}",
            "etl.features.events.encodings.price.numeric.scale",
        ),
        ("etl.impressions={labels: {buy: [view]}, negativs: logged}", "etl.impressions.negatives"),
    ],
)
def test_keys_within_mappings_and_kinds_are_suggested_too(
    yaml: Path, override: str, meant: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(yaml, [override])
    assert f"did you mean {meant}?" in str(caught.value)


@pytest.mark.parametrize("path", sorted((CHECKOUT / "conf").glob("*.yaml")), ids=lambda p: p.stem)
def test_the_configurations_beside_the_code_can_be_read(path: Path) -> None:
    assert load_config(path).run.name.startswith(path.stem[:6])


@pytest.mark.parametrize("path", sorted((CHECKOUT / "conf").glob("*.yaml")), ids=lambda p: p.stem)
def test_a_configuration_comes_back_from_json_as_it_was(path: Path) -> None:
    config = load_config(path)

    assert Config.model_validate(config.model_dump(mode="json")) == config


def test_a_changed_configuration_is_written_whole_with_its_reasons(
    yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAME_OF_RUN", "from_outside")
    overrides = ["run.name=${oc.env:NAME_OF_RUN}", "train.epochs=3"]
    output = tmp_path / "changed.yaml"

    write_changed(yaml, overrides, {"train.model.width": 8, "train.model.heads": 1}, output, ["so"])

    assert output.read_text().startswith("# so\n")
    assert "from_outside" not in output.read_text()  # what comes from outside stays there
    changed = load_config(output)
    assert (changed.run.name, changed.train.epochs) == ("from_outside", 3)
    assert changed.train.model.width == 8


def test_a_change_that_breaks_a_rule_is_not_written(yaml: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="heads=2 has to divide width=9"):
        write_changed(yaml, [], {"train.model.width": 9}, tmp_path / "changed.yaml")

    assert sorted(path.name for path in tmp_path.iterdir()) == [yaml.name]


@pytest.mark.parametrize(
    "change",
    [
        "train.optimizer.learning_rate=.inf",
        "train.model.temperature=.inf",
        "etl.clean.min_value=.nan",
        "tune.space={model.width: {low: 8, high: .inf}}",
        "tune.space={model.dropout: {low: .nan, high: 0.5}}",
        "compare.models={a: {optimizer: {clip_norm: .inf}}}",
    ],
)
def test_numbers_are_finite(yaml: Path, change: str) -> None:
    with pytest.raises(ConfigError, match="should be a finite number"):
        load_config(yaml, [change])


def test_lists_too_long_to_count_are_refused(yaml: Path) -> None:
    for change in ("train.metric=ndcg@9999999", "train.metrics_at=[5, 9999999]"):
        with pytest.raises(ConfigError, match=r"train\.metric"):
            load_config(yaml, [change])


def test_a_model_is_named_by_its_id_and_not_by_a_path(yaml: Path) -> None:
    hybrid = "train.algorithm=hybrid"
    for change in ("train.warm_start.model=../other/models/m", "train.hybrid.neural=" + "x" * 300):
        with pytest.raises(ConfigError, match="should match pattern"):
            load_config(yaml, [change])
    assert load_config(yaml, [hybrid, "train.hybrid.neural=shop-2026-01-31-0123456789ab"])
    assert load_config(yaml, ["train.algorithm=neural", "train.warm_start.model=current"])


def test_what_was_written_is_known_also_where_it_is_the_default(yaml: Path) -> None:
    plain = load_config(yaml)
    changed = load_config(yaml, ["train.epochs=20", "train.model.width=64"])
    assert plain.train == changed.train and plain.train.algorithm == "auto"
    assert changed.train.written == {"epochs", "model.width"} | plain.train.written


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epochs=abc", "train.epochs='abc': Input should be a valid integer"),
        ("train.nope=1", "train.nope: unknown key"),
        ("train=5", "train=5: is a section; set keys in it, such as train.algorithm"),
        ("train.epochs.x=3", "train.epochs={'x': 3}: Input should be a valid integer"),
        ("train.model.width=3", "train.model: heads=2 has to divide width=3"),
        ("etl.event_types.view.weight=0", "etl.event_types: view all have weight=0"),
    ],
)
def test_a_problem_names_the_override_that_made_it(yaml: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(yaml, ["score.list_length=3", override])

    head, line = str(caught.value).splitlines()
    assert head == f"{yaml} with 2 override(s): 1 problem(s)"
    assert line.startswith(f"  {message}") and line.endswith(f"(override: {override})")


def test_a_problem_of_the_file_names_no_override(yaml: Path) -> None:
    yaml.write_text(f"{MINIMAL}score: {{list_length: 0}}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(yaml, ["train.epochs=3"])
    assert "score.list_length=0" in str(caught.value)
    assert "(override" not in str(caught.value)


def test_a_list_in_place_of_a_section_names_the_override(yaml: Path) -> None:
    with pytest.raises(ConfigError, match=r"does not fit what the file has at input\.events: "):
        load_config(yaml, ["input.events=[1,2]"])


def test_a_key_after_a_space_is_not_shown(yaml: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(yaml, [" privacy.key=word", "train.epochs=x"])
    assert "unknown key" in str(caught.value) and "word" not in str(caught.value)


@pytest.mark.parametrize("override", ["train.epochs=[", "run.name='", "run.name=${a${"])
def test_a_value_that_is_no_yaml_names_the_override_in_one_line(yaml: Path, override: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(yaml, [override])
    assert f"override {override!r} has a value that is no YAML" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", ["privacy.key=[", "privacy.key='secret"])
def test_the_key_is_in_no_message_about_an_override(yaml: Path, change: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(yaml, [change])
    assert "privacy.key=***" in str(caught.value) and "secret" not in str(caught.value)


def test_every_reference_to_nothing_is_named_at_once(
    yaml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NOT_SET", "NOR_THIS"):
        monkeypatch.delenv(name, raising=False)
    yaml.write_text(MINIMAL.replace("events.csv", "'${oc.env:NOT_SET}/*.csv'"))
    changes = ["run.output=${oc.env:NOR_THIS}", "run.name=${rnu.output}"]
    with pytest.raises(ConfigError) as caught:
        load_config(yaml, changes)

    head, *lines = sorted(str(caught.value).splitlines(), key=lambda line: "problem(s)" not in line)
    assert head.endswith("3 problem(s)") and caught.value.exit_code == 2
    paths, output, name = (
        next(line for line in lines if key in line)
        for key in ("log.paths.0=", "run.output=", "run.name=")
    )
    assert "the environment variable NOT_SET is not set; set it" in paths
    assert "(override" not in paths
    assert "the environment variable NOR_THIS is not set" in output and changes[0] in output
    assert "'rnu.output' not found" in name
    assert "KeyError" not in str(caught.value)


def test_a_file_that_holds_a_list_is_told(yaml: Path) -> None:
    yaml.write_text("[a, b]")
    with pytest.raises(ConfigError, match="it holds a list; write sections with keys"):
        load_config(yaml, ["train.epochs=3"])


@pytest.mark.parametrize("address", ["s3://bucket/shop", "file:///tmp/ws", "hdfs://h/p", "s3:/b"])
def test_an_address_is_no_folder_for_the_workspace(yaml: Path, address: str) -> None:
    with pytest.raises(
        ConfigError, match=r"run\.output: .* is an address; the workspace is a fold"
    ):
        load_config(yaml, [f"run.output={address}"])


@pytest.mark.parametrize("key", ["run.output", "input.root", "ray.storage"])
@pytest.mark.parametrize(("path", "why"), [
    ("/shop\nfloor", "has a line break or another control character"),
    ("/shop\u2028floor", "has a line break or another control character"),
    ("/shop:1/{a}", "has both ':' and one of"),
])  # fmt: skip
def test_a_folder_that_an_engine_cannot_use_is_refused(
    yaml: Path, key: str, path: str, why: str
) -> None:
    tree = OmegaConf.to_container(OmegaConf.load(yaml))
    assert isinstance(tree, dict)
    section, name = key.split(".")
    tree.setdefault(section, {})[name] = path
    yaml.write_text(json.dumps(tree))
    with pytest.raises(ConfigError) as caught:
        load_config(yaml)
    (line,) = str(caught.value).splitlines()[1:]
    assert key in line and why in line and line.endswith("rename the folder or choose another one")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("path", [
    "/my shop", "/a #b", "/a#b", "/50%", "/é+b,c", "/{a}", "/[a]", "/what?", "/a:b", "/k=v",
])  # fmt: skip
def test_a_path_in_an_override_is_taken_as_it_is(yaml: Path, path: str) -> None:
    changes = [f"run.output={path}", f"input.root={path}"]
    config = load_config(yaml, changes)
    assert (config.run.output, config.input.root) == (path, path)


@pytest.mark.parametrize(("value", "read"), [
    ("'/a #b'", "/a #b"), ('"/a" # b', "/a"), ("# b", None), (" /a #b ", "/a #b"),
])  # fmt: skip
def test_quotes_decide_whether_a_number_sign_begins_a_comment(
    yaml: Path, value: str, read: str | None
) -> None:
    assert load_config(yaml, [f"ray.storage={value}"]).ray.storage == read
