"""The samples of erased users leave the model cards."""

import re
import shutil
from pathlib import Path

from conf.contract import Bundle
from conf.pages.samples import copy_without_samples, samples_of
from conf.runs.managing import run_erase
from conf.workspace.hashes import hash_file
from conf.workspace.versions import read_manifest
from tests.conf.card_pages import card_of
from tests.conf.erasable import GONE, MODEL, NAMES, config_of


def test_a_card_forgets_the_samples_of_its_users(workspace: Path, users: Path) -> None:
    path = workspace / "models" / MODEL / "card.html"
    result = run_erase(config_of(workspace), users)

    left = tuple(name for name in NAMES if name not in GONE)
    shown = re.findall('<article data-user="(.*?)">', path.read_text())
    assert tuple(shown) == left
    assert path.read_text().count("list of ") == 2 * len(left)  # each as name and as caption
    assert result["removed"][f"models/{MODEL}"] == {"user_embedding": 3, "samples": 3}
    (entry,) = read_manifest(workspace, "models", MODEL, Bundle).files["card"]
    assert entry.sha256 == hash_file(path)


def test_a_card_whose_dataset_is_gone_forgets_them_too(workspace: Path, users: Path) -> None:
    shutil.rmtree(workspace / "datasets")
    run_erase(config_of(workspace), users)

    html = (workspace / "models" / MODEL / "card.html").read_text()
    assert not [name for name in GONE if name in html] and NAMES[0] in html
    read_manifest(workspace, "models", MODEL, Bundle)


def test_a_sample_is_found_however_its_user_is_called(tmp_path: Path) -> None:
    names = ("a\"b'<c>&amp;", "</article>", "é\n ü", "plain")
    card = tmp_path / "card.html"
    for name in names:
        card.write_text(card_of(MODEL, names), encoding="utf-8")
        assert samples_of(card, {name, "nobody"}) == 1
        assert copy_without_samples(card, tmp_path / "copy.html", {name}) == 1
        others = tuple(other for other in names if other != name)
        left = (tmp_path / "copy.html").read_text(encoding="utf-8")
        assert re.sub(r"list of \d|/article&gt; \d", "", left) == re.sub(
            r"list of \d|/article&gt; \d", "", card_of(MODEL, others)
        )
