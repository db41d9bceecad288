"""Sentences of lists, worked out by hand, and as they are published."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conf.command.printing.tables import print_result
from conf.contract import HISTORY_TYPES, Manifest
from conf.errors import ConfigError, InputError
from conf.runs.inputs.request_keys import lists_request
from conf.runs.stages import run_score
from conf.settings.lists.texts import Texts
from conf.workspace.parquet import describe_parquet
from serving import show
from serving.reasons.sentences import Places, Sentences, strongest_types
from serving.reasons.templates import load_templates
from tests.serving.tiny_shop import read_lists, tiny_config, write_dataset, write_model
from trainer.data.columns import Ragged

HISTORIES = [[3, 5, 3], [], [7]]
"""Types of events: view, buy, view, buy, ... by place."""
TEXTS = load_templates(Texts(languages=("en", "de")))


def ragged(histories: list[list[int]]) -> Ragged:
    lengths = [len(history) for history in histories]
    types = np.concatenate([np.arange(length) % 2 for length in lengths])
    values = np.array([item for history in histories for item in history], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Ragged(values, offsets, {HISTORY_TYPES: types.astype(np.int64)})


def dataset(folder: Path, **columns: Any) -> tuple[Path, Manifest]:
    """Write the tiny shop with other columns of items, such as titles; return folder, manifest."""
    manifest = write_dataset(folder, HISTORIES, items=8)
    at = folder / "datasets" / manifest.id
    path = at / manifest.files["items"][0].path
    table = pq.read_table(path)
    for name, values in columns.items():
        table = table.drop_columns([name]) if name in table.column_names else table
        table = table.append_column(name, pa.array(values))
    pq.write_table(table, path)
    files = {**manifest.files, "items": (describe_parquet(at, path),)}
    return at, manifest.model_copy(update={"files": files})


def places(*rows: tuple[int, int, int, bool]) -> Places:
    user, item, reason, fallback = zip(*rows, strict=True)
    return Places(np.array(user), np.array(item), np.array(reason), np.array(fallback))


def test_each_place_has_the_sentence_of_its_strongest_reason(tmp_path: Path) -> None:
    at, manifest = dataset(tmp_path, category=["Tents", *["Stoves"] * 7])
    sentences = Sentences(TEXTS, "category", at, manifest, "neural")

    said = sentences.column(
        places(
            (0, 7, 5, False),  # bought 5
            (0, 7, 3, False),  # looked at 3 twice
            (2, 3, 7, False),  # looked at 7
            (0, 7, -1, False),  # no reason, not new: nothing is said
            (1, 7, -1, True),  # popular
            (0, 2, -1, False),  # without a training event
            (0, 2, 3, False),  # the same with a reason
        ),
        ragged(HISTORIES),
    ).to_pylist()

    assert [row and row["en"] for row in said] == [
        "Because you bought Item 5",
        "Because you looked at Item 3",
        "Because you looked at Item 7",
        None,
        "Popular in Stoves",
        "New in Tents",
        "Because you looked at Item 3",
    ]
    assert said[0]["de"] == "Weil Sie „Item 5“ gekauft haben" and said[3] is None


def test_a_model_of_transitions_says_after_what(tmp_path: Path) -> None:
    at, manifest = dataset(tmp_path)
    sentences = Sentences(TEXTS, None, at, manifest, "markov")
    said = sentences.column(places((0, 7, 5, False), (0, 2, -1, False)), ragged(HISTORIES))
    assert [row["en"] for row in said.to_pylist()] == ["Often taken after Item 5", "New here"]


def test_titles_are_escaped_and_an_item_without_a_title_is_not_named(tmp_path: Path) -> None:
    titles = ["<script>alert('x')</script>", "Tom & \u202eJerry {item}\x1b", " \u200b", None]
    at, manifest = dataset(tmp_path, title=[*titles, *["a"] * 4])
    sentences = Sentences(TEXTS, None, at, manifest, "neural")
    rows = places(*[(0, 7, reason, False) for reason in (2, 3, 4, 5)])
    said = sentences.column(rows, ragged(HISTORIES)).to_pylist()

    assert said[0]["en"] == "Because of &lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;"
    assert said[1]["en"] == "Because you looked at Tom &amp; Jerry {item}"
    assert said[2:] == [None, None]


def test_the_strongest_type_equals_a_search_by_hand() -> None:
    draw = np.random.default_rng(3)
    histories = [draw.integers(2, 9, size=draw.integers(0, 12)).tolist() for _ in range(50)]
    given = ragged(histories)
    types = given.beside[HISTORY_TYPES] = draw.integers(0, 3, size=len(given.values))
    weights = np.array([1.0, 5.0, 1.0])
    users, items = draw.integers(0, 50, size=400), draw.integers(2, 12, size=400)

    def by_hand(user: int, item: int) -> int:
        start, end = given.offsets[user], given.offsets[user + 1]
        own = [int(t) for i, t in zip(given.values[start:end], types[start:end], strict=True)
               if i == item]  # fmt: skip
        heaviest = max((weights[t] for t in own), default=0)
        return next((t for t in reversed(own) if weights[t] == heaviest), -1)

    found = strongest_types(users, items, given, weights)
    assert found.tolist() == [by_hand(*pair) for pair in zip(users, items, strict=True)]


def test_a_field_that_the_dataset_lacks_is_refused(tmp_path: Path) -> None:
    at, manifest = dataset(tmp_path)
    with pytest.raises(ConfigError, match=r"score\.texts\.field='brand' is no field"):
        Sentences(TEXTS, "brand", at, manifest, "neural")


@pytest.mark.usefixtures("scored_here")
def test_lists_are_published_with_sentences_and_show_prints_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny_config(tmp_path, "score.texts.languages=[en,zh]")
    write_model(config, write_dataset(tmp_path, [[3, 5], [], [2]], items=11))

    result = run_score(config)

    rows = read_lists(Path(result["folder"]))
    titled = [row for row in rows if row["reasons"] and int(row["reasons"][0]["item_id"][1:]) % 2]
    assert titled
    for row in rows:
        reason = (row["reasons"] or [None])[0]
        if row in titled:
            title = f"Item {reason['item_id'][1:]}"
            verb = "bought" if reason["item_id"] == "i5" else "looked at"
            assert row["texts"]["en"] == f"Because you {verb} {title}"
            assert title in row["texts"]["zh"]
        elif row["source"] == "fallback":
            assert row["texts"] == {"en": "Popular with many", "zh": "很受欢迎"}
    print_result(show.run(config, user_id="u0"))
    assert "Because you" in capsys.readouterr().out


def test_without_languages_neither_key_nor_columns_change(tmp_path: Path) -> None:
    plain = tiny_config(tmp_path)
    said = [tiny_config(tmp_path, f"score.texts.languages=[{name}]") for name in ("en", "de")]
    own = tmp_path / "own.yaml"
    own.write_text('en: {new: "Fresh"}')
    with_file = tiny_config(tmp_path, "score.texts.languages=[en]", f"score.texts.file={own}")
    keys = [lists_request(config, "d", "m") for config in (plain, *said, with_file)]
    own.write_text('en: {new: "Brand new"}')
    keys.append(lists_request(with_file, "d", "m"))

    assert len(set(keys)) == 5  # the content of the file counts, too
    own.unlink()
    with pytest.raises(InputError, match=r"own\.yaml is no file"):
        lists_request(with_file, "d", "m")


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["score.texts.file=a.yaml"], "score.texts.file is set, but score.texts.languages"),
        (["score.texts.languages=[en,en]"], "names a language twice"),
        (["score.texts.languages=[e]"], "score.texts.languages"),
        (["score.texts.languages=[en]", "score.texts.field=brand"], "is no field of input.items"),
    ],
)
def test_wrong_settings_are_refused(tmp_path: Path, overrides: list[str], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        tiny_config(tmp_path, *overrides)
