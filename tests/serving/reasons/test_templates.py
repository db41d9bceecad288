"""Templates of sentences: those built in, and a user's own with and without faults."""

from pathlib import Path

import pytest

from conf.errors import ConfigError, InputError
from conf.settings.lists.texts import Texts
from serving.reasons.templates import load_templates, shown, template_of_act

BUILT_IN = ("en", "de", "zh")
KINDS = {"after", "new", "new_in", "popular", "popular_in", "because.bought", "because.other"}


def own_file(folder: Path, text: str, language: str = "en") -> Texts:
    path = folder / "sentences.yaml"
    path.write_text(text, encoding="utf-8")
    return Texts(languages=(language,), file=str(path))


def test_three_languages_are_built_in_with_the_same_kinds_of_sentences() -> None:
    found = load_templates(Texts(languages=BUILT_IN))

    assert list(found) == list(BUILT_IN)
    assert set(found["en"]) == set(found["de"]) == set(found["zh"]) >= KINDS
    assert found["en"]["because.bought"].format(item="a tent") == "Because you bought a tent"
    assert load_templates(Texts()) == {}


@pytest.mark.parametrize(
    ("event_type", "act"),
    [
        ("purchase", "bought"),
        ("Add-To-Cart", "added"),
        ("detail view", "viewed"),
        ("listen", "played"),
        ("teleport", "other"),
        ("", "other"),
    ],
)
def test_usual_names_of_events_have_a_verb(event_type: str, act: str) -> None:
    templates = load_templates(Texts(languages=("en",)))["en"]
    assert template_of_act(templates, event_type) == templates[f"because.{act}"]


def test_own_sentences_replace_those_built_in_one_by_one(tmp_path: Path) -> None:
    texts = own_file(tmp_path, 'en: {because: {purchase: "You own <b>{item}</b>"}, new: "Fresh"}')
    templates = load_templates(texts)["en"]

    assert template_of_act(templates, "purchase") == "You own <b>{item}</b>"
    assert template_of_act(templates, "buy") == "Because you bought {item}"
    assert templates["new"] == "Fresh" and templates["popular"] == "Popular with many"


def test_a_language_of_ones_own_needs_all_sentences(tmp_path: Path) -> None:
    whole = (
        'fr: {because: {other: "{item}"}, after: "Après {item}", new: "Neuf", new_in: "{group}", '
        'popular: "Aimé", popular_in: "Aimé: {group}"}'
    )
    assert load_templates(own_file(tmp_path, whole, "fr"))["fr"]["after"] == "Après {item}"
    with pytest.raises(ConfigError, match="language fr has no sentence for after, new_in"):
        cut = 'fr: {because: {other: "{item}"}, new: "Neuf", popular: "A", popular_in: "{group}"}'
        load_templates(own_file(tmp_path, cut, "fr"))
    with pytest.raises(ConfigError, match=r"pt-BR has no sentence for because\.other"):
        load_templates(Texts(languages=("pt-BR",)))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('en: {after: "Often"}', r"en\.after: 'Often' has no braces; write {item} in it"),
        ('en: {new: "New {item}"}', r"has {item}; write no braces"),
        ('en: {after: "{item} {user}"}', "has {item}, {user}"),
        ('en: {after: "{item!r}"}', "and nothing more"),
        ('en: {after: "{item.__class__}"}', "write {item}"),
        ('en: {after: "{item"}', r"en\.after"),
        ('en: {after: "{item:>999999999}"}', "and nothing more"),
        ("en: {after: 7}", "7 is no sentence"),
        ('en: {after: ""}', "no sentence"),
        ('en: {after: "a\\u202e{item}"}', "no sentence of printable text"),
        ('en: {because: "{item}"}', "write sentences by what the user did"),
        ('en: {becuase: {other: "{item}"}}', "en.becuase: no such kind"),
        ("[1, 2]", "write sentences by language"),
        ("en: [1]", "write sentences by language"),
        ("en: {after: ", "cannot be read as YAML"),
        ("en: !!python/object/apply:os.getcwd []", "cannot be read as YAML"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as refused:
        load_templates(own_file(tmp_path, text))
    assert "sentences.yaml" in str(refused.value)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    texts = Texts(languages=("en",), file=str(tmp_path / "none.yaml"))
    with pytest.raises(InputError, match=r"score\.texts\.file=.*none\.yaml does not exist"):
        load_templates(texts)


def test_what_cannot_be_seen_is_taken_out_but_joiners_stay() -> None:
    assert shown("a\u202eb\x1b[31m\nc") == "ab[31mc"
    persian, family = "\u0645\u06cc\u200c\u062e", "👨\u200d👩"
    assert (shown(persian), shown(family)) == (persian, family)
