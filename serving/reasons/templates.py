"""The templates of sentences: those built in, and those of the user's own file."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Formatter
from typing import Any
from unicodedata import category

import yaml

from conf.errors import ConfigError, InputError
from conf.settings.lists.texts import Texts
from conf.workspace.storage import raise_storage_failure

BECAUSE, OTHER = "because", "other"
AFTER, NEW, NEW_IN, POPULAR, POPULAR_IN = "after", "new", "new_in", "popular", "popular_in"
_VALUES = {BECAUSE: {"item"}, AFTER: {"item"}, NEW_IN: {"group"}, POPULAR_IN: {"group"},
           NEW: set(), POPULAR: set()}  # fmt: skip
"""Names in braces that each kind of sentence must contain, and no other."""
_LONGEST = 500
_JOINERS = "\u200c\u200d"
_ACTS = {
    "bought": ("purchase", "purchased", "buy", "bought", "order", "ordered", "transaction", "sale"),
    "added": ("cart", "add_to_cart", "addtocart", "basket", "add_to_basket"),
    "liked": ("like", "liked", "favourite", "favorite", "wishlist", "save", "bookmark", "upvote"),
    "rated": ("rating", "rate", "rated", "review"),
    "played": ("play", "played", "listen", "listening", "watch", "watched", "stream"),
    "read": ("read", "reading"),
    "viewed": ("view", "viewed", "click", "clicked", "visit", "open", "detail", "detail_view"),
}
_ACT_OF = {name: act for act, names in _ACTS.items() for name in (act, *names)}

Templates = dict[str, str]
"""By kind of sentence; below `because` also `because.ACT`."""


def load_templates(texts: Texts) -> dict[str, Templates]:
    """Return the templates of each language asked for, the user's own before those built in.

    Raises:
        InputError: When the file does not exist.
        ConfigError: When it cannot be read, a sentence is wrong, or a language lacks sentences.
    """
    built_in = yaml.safe_load(_BUILT_IN.read_text(encoding="utf-8"))
    own = {} if texts.file is None else _read(Path(texts.file))
    where = "score.texts.languages" if texts.file is None else f"score.texts.file={texts.file}"
    found = {}
    for language in texts.languages:
        templates = _flat(built_in.get(language, {})) | _flat(own.get(language, {}))
        missing = [kind for kind in _needed() if kind not in templates]
        if missing:
            raise ConfigError(
                f"{where}: language {language} has no sentence for {', '.join(missing)}; built in "
                f"are {', '.join(built_in)}; for others, write all of them into score.texts.file"
            )
        found[language] = templates
    return found


def template_of_act(templates: Mapping[str, str], event_type: str) -> str:
    """Return the sentence about an item that had an event of this type."""
    name = event_type.lower().replace("-", "_").replace(" ", "_")
    for act in (event_type, _ACT_OF.get(name)):
        if f"{BECAUSE}.{act}" in templates:
            return templates[f"{BECAUSE}.{act}"]
    return templates[f"{BECAUSE}.{OTHER}"]


def shown(text: str) -> str:
    """Return a text without what cannot be seen and may change how its neighbours look.

    Control characters and those that turn the direction of text are taken out; the joiners of
    letters, which some scripts and emoji need, stay.
    """
    return "".join(char for char in text if category(char)[0] != "C" or char in _JOINERS)


def _needed() -> list[str]:
    return [f"{BECAUSE}.{OTHER}", *(kind for kind in _VALUES if kind != BECAUSE)]


def _read(path: Path) -> dict[str, Any]:
    """Return the checked content of the user's file: by language, as in the file."""
    where = f"score.texts.file={path}"
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{where} does not exist") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{where} cannot be read as YAML: {error}") from error
    except OSError as error:
        raise_storage_failure(error, path)
        raise InputError(f"{where} cannot be read: {error.strerror}") from error
    if not isinstance(found, dict) or not all(isinstance(own, dict) for own in found.values()):
        raise ConfigError(f'{where}: write sentences by language, such as en: {{new: "New here"}}')
    for language, own in found.items():
        for kind, text in own.items():
            _check(f"{where}: {language}.{kind}", kind, text)
    return found


def _check(where: str, kind: object, text: object) -> None:
    if kind not in _VALUES:
        raise ConfigError(f"{where}: no such kind of sentence; there are {', '.join(_VALUES)}")
    if kind == BECAUSE:
        if not isinstance(text, dict):
            raise ConfigError(
                f"{where}: write sentences by what the user did, such as because: {{other: "
                '"Because of {item}"}; other stands for all event types without one'
            )
        for act, sentence in text.items():
            _check_sentence(f"{where}.{act}", sentence, _VALUES[BECAUSE])
    else:
        _check_sentence(where, text, _VALUES[str(kind)])


def _check_sentence(where: str, text: object, values: Iterable[str]) -> None:
    """Refuse a template with other values in braces than those that its kind must have."""
    wanted = set(values)
    rule = f"write {' and '.join(f'{{{name}}}' for name in sorted(wanted)) or 'no braces'} in it"
    if not isinstance(text, str) or not text.strip() or shown(text) != text:
        raise ConfigError(f"{where}: {text!r} is no sentence of printable text on one line")
    if len(text) > _LONGEST:
        raise ConfigError(f"{where} has {len(text)} letters; at most {_LONGEST} are allowed")
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise ConfigError(f"{where}: {text!r}: {error}; {rule}, {{{{ stands for {{") from error
    named = {name for _, name, _, _ in parts if name is not None}
    is_plain = all(not spec and not conversion for _, _, spec, conversion in parts)
    if named != wanted or not is_plain:
        raise ConfigError(f"{where}: {text!r} has {_braces(named)}; {rule}, and nothing more")


def _braces(names: Iterable[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in sorted(names)) or "no braces"


def _flat(own: Mapping[str, Any]) -> Templates:
    """Return a language's sentences with those below `because` as `because.ACT`."""
    acts = {f"{BECAUSE}.{act}": text for act, text in own.get(BECAUSE, {}).items()}
    return {**acts, **{kind: text for kind, text in own.items() if kind != BECAUSE}}


_BUILT_IN = Path(__file__).with_name("sentences.yaml")
