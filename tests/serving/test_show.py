import subprocess
import sys

import pytest

from conf.command.printing.tables import print_result
from conf.errors import ConfigError
from conf.runs.stages import run_score
from conf.settings.config import Config
from serving import show
from tests.serving.scoring_here import scoring_here
from tests.serving.tiny_shop import CHECKOUT, tiny_config, write_dataset, write_model

HISTORIES = [[2], [3], [], [2, 3, 4, 5, 6, 7], [9] * 30]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Config:
    workspace = tmp_path_factory.mktemp("shown")
    config = tiny_config(workspace)
    write_model(config, write_dataset(workspace, HISTORIES, items=20, group_rows=2))
    with scoring_here():
        run_score(config)
    return config


def test_a_history_is_shown_newest_first_with_titles(shop: Config) -> None:
    shown = show.run(shop, user_id="u3")

    assert shown["user_id"] == "u3" and shown["stage"] == "show"
    assert [event["item_id"] for event in shown["history"]] == ["i7", "i6", "i5", "i4", "i3", "i2"]
    newest = shown["history"][0]
    assert newest == {
        "when": "1970-01-01T00:01:45+00:00", "event": "buy", "item_id": "i7", "title": "Item 7",
    }  # fmt: skip
    assert shown["history"][1]["title"] is None


def test_a_list_is_shown_with_its_reasons(shop: Config, capsys: pytest.CaptureFixture[str]) -> None:
    shown = show.run(shop, user_id="u3")

    assert [row["position"] for row in shown["list"]] == [1, 2, 3, 4]
    for row in shown["list"]:
        number = int(row["item_id"][1:])
        assert row["title"] == (f"Item {number}" if number % 2 else None)
        assert row["source"] == "model"
    because = [text for row in shown["list"] for text in row["because"]]
    assert because and all(text.endswith("%)") for text in because)
    assert any(text.startswith("Item ") for text in because)
    print_result(shown)
    assert "history of u3, newest first" in capsys.readouterr().out


def test_a_long_history_is_cut_and_an_empty_one_is_none(shop: Config) -> None:
    assert len(show.run(shop, user_id="u4")["history"]) == 20
    cold = show.run(shop, user_id="u2")
    assert cold["history"] == []
    assert [row["because"] for row in cold["list"]] == [[]] * 4


def test_first_takes_a_user_with_a_history_of_some_length(shop: Config) -> None:
    assert show.run(shop, user_id="first")["user_id"] == "u3"


def test_an_unknown_user_is_told_how_ids_look(shop: Config) -> None:
    with pytest.raises(ConfigError, match=r"user 'U3' is not in .* ids look like 'u0', 'u1'"):
        show.run(shop, user_id="U3")


def test_showing_starts_neither_ray_nor_torch() -> None:
    code = "import sys, serving.show; sys.exit(bool({'ray', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT).returncode == 0
