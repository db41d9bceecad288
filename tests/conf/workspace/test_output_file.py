from pathlib import Path

import pytest

from conf.errors import ConfigError
from conf.workspace.output_file import require_place, write_whole


def test_what_is_no_file_to_write_is_refused_before_the_work(tmp_path: Path) -> None:
    config, link = tmp_path / "shop.yaml", tmp_path / "link.yaml"
    config.write_text("run: {}  # a comment\n")
    link.symlink_to(config)
    model = tmp_path / "workspace" / "models" / "shop-1"
    model.mkdir(parents=True)
    refused = {
        model / "card.html": "models, where files belong to versions and never change",
        tmp_path: "is a folder",
        tmp_path / "no" / "best.yaml": "its folder does not exist",
        Path("/dev/null"): "is not a regular file",
        config: "is the configuration itself",
        link: "is the configuration itself",
    }
    for output, problem in refused.items():
        with pytest.raises(ConfigError, match=problem):
            require_place(output, config, tmp_path / "workspace")
    require_place(tmp_path / "best.yaml", config, tmp_path / "workspace")


def test_what_was_there_stays_unless_all_of_it_is_written(tmp_path: Path) -> None:
    output, link = tmp_path / "card.html", tmp_path / "link.html"
    output.write_text("before")
    link.symlink_to(output)
    beside = tmp_path / ".card.html.new"
    beside.mkdir()
    with pytest.raises(ConfigError, match=r"card\.html cannot be written: Is a directory"):
        write_whole(output, "after")
    assert output.read_text() == "before"

    beside.rmdir()
    write_whole(link, "after")
    assert link.is_symlink() and output.read_text() == "after"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["card.html", "link.html"]
