from pathlib import Path

import pytest

from conf.errors import ConfigError
from conf.settings.load import load_config
from tests.trainer.small_parts import write_config


def complaint(folder: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(write_config(folder), overrides)
    return str(caught.value)


@pytest.mark.parametrize(
    "asked",
    ["train.algorithm=recent_popularity", "train.baselines=[markov,recent_popularity]"],
)
def test_recent_popularity_needs_times_and_the_oldest_events(tmp_path: Path, asked: str) -> None:
    load_config(write_config(tmp_path), [asked])

    assert "time_unit of input.events is 'order'" in complaint(
        tmp_path, asked, "input.events.log.time_unit=order"
    )
    assert "etl.split.kind is 'random'" in complaint(tmp_path, asked, "etl.split.kind=random")
    assert "etl.windows is 'last'" in complaint(tmp_path, asked, "etl.windows=last")


def test_members_of_a_blend_that_is_not_asked_for_break_no_rule(tmp_path: Path) -> None:
    changes = ["train.hybrid.members=[ease,recent_popularity]", "etl.windows=last"]
    load_config(write_config(tmp_path), changes)

    assert "etl.windows" in complaint(tmp_path, *changes, "train.algorithm=hybrid")


def test_a_member_stands_once_and_never_alone(tmp_path: Path) -> None:
    assert "ease is listed more than once" in complaint(
        tmp_path, "train.hybrid.members=[ease,als,ease]"
    )
    assert "train.hybrid.members" in complaint(tmp_path, "train.hybrid.members=[ease]")


def test_a_network_without_a_place_in_the_blend_is_a_mistake(tmp_path: Path) -> None:
    assert "members has no neural" in complaint(
        tmp_path, "train.hybrid.members=[ease,als]", "train.hybrid.neural=some-model"
    )


def test_an_unknown_kind_of_model_is_named_with_its_key(tmp_path: Path) -> None:
    said = complaint(tmp_path, "train.algorithm=eese")
    assert "1 problem" in said and "train.algorithm='eese'" in said and "'ease'" in said
