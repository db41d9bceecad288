"""Find out why the ids of two inputs differ: try simple changes, and see which makes them equal."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import NamedTuple

from conf.privacy.sealing import trimmed

_Form = Callable[[str], str]
_QUOTES = "\"'`\u2018\u2019\u201c\u201d\u00ab\u00bb"
_THOUSANDS = re.compile(r"(?<=\d)[,.'\u2019 \u00a0\u202f](?=\d{3}(?!\d))")
_EXPONENT = re.compile(r"\d(\.\d+)?[eE]\+?\d{1,2}")
_LEAST_SHARE, _LEAST_SHARE_OF_AFFIX = 0.1, 0.5
_LONGEST_AFFIX = 64
_SHOWN_CHARACTERS = 40


class Reason(NamedTuple):
    """The difference between the ids of the log and of a table."""

    told: str
    in_log: str
    """An id of the log that a table's id is equal to but for this difference."""
    in_table: str


def find_reason(
    of_log: Sequence[str], of_table: Sequence[str], share_of_table: float = 1.0
) -> Reason | None:
    """Return the change that makes most ids of the log equal to one of the table, or None.

    Args:
        of_log: Ids of the log that the table lacks.
        of_table: Ids of the table, or a part of them.
        share_of_table: Share of the table's ids that this part is.
    """
    best, most = None, 0
    least = len(of_log) * min(share_of_table, 1.0)
    for told, forms, share in _tries(of_log, of_table):
        found = _equal(of_log, of_table, *forms)
        if len(found) > most and len(found) >= share * least:
            # The shortest pair is the easiest to read.
            in_log, in_table = min(found.items(), key=lambda pair: (len(pair[0]), *pair))
            best, most = Reason(told, in_log, in_table), len(found)
    return best


class Twins(NamedTuple):
    """Ids that differ from another one only in how they are written."""

    told: str
    number: int
    example: tuple[str, str]


def find_twins(ids: Sequence[str]) -> Twins | None:
    """Return the change that makes most ids equal to another one, or None."""
    best: Twins | None = None
    for told, form in _FORMS.items():
        of_form: dict[str, list[str]] = defaultdict(list)
        for text in ids:
            of_form[form(text)].append(text)
        pairs = [sorted(texts)[:2] for one, texts in of_form.items() if one and len(texts) > 1]
        count = sum(len(texts) - 1 for one, texts in of_form.items() if one)
        if pairs and (best is None or count > best.number):
            first, other = min(pairs, key=lambda pair: (len(pair[0]), *pair))
            best = Twins(told, count, (first, other))
    return best


def shape_of(text: str) -> str:
    """Return an id with its letters as a or A and its digits as 9; leading zeros stay."""
    digits = re.sub(r"\d+", lambda run: run[0][: _zeros(run[0])] + "9" * _others(run[0]), text)
    shape = "".join(_letter(char) for char in digits)
    return shown(shape)


def shown(text: str) -> str:
    """Return an id in quotes, with unseen characters escaped, cut off if it is very long."""
    return repr(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "...")


def _tries(
    of_log: Sequence[str], of_table: Sequence[str]
) -> Iterator[tuple[str, tuple[_Form, _Form], float]]:
    for told, form in _FORMS.items():
        yield told, (form, form), _LEAST_SHARE
    for told, forms in _affixes("of the table's ids", of_table):
        yield told, (_all_forms, forms), _LEAST_SHARE_OF_AFFIX
    for told, forms in _affixes("of the log's ids", of_log):
        yield told, (forms, _all_forms), _LEAST_SHARE_OF_AFFIX


def _affixes(whose: str, ids: Sequence[str]) -> Iterator[tuple[str, _Form]]:
    """Yield ways to remove a prefix or a suffix that all ids have and that ends with no digit."""
    plain = [_all_forms(text) for text in ids]
    if len(set(plain)) < 2:
        return
    before = _shared_start(plain)
    after = _shared_start([text[::-1] for text in plain])[::-1]
    for end in range(len(before), 0, -1):
        if not before[end - 1].isdigit():
            prefix = before[:end]
            yield f"the prefix {prefix!r} {whose}", partial(_without_affix, prefix=prefix)
    for start in range(len(after)):
        if not after[start].isdigit():
            suffix = after[start:]
            yield f"the suffix {suffix!r} {whose}", partial(_without_affix, suffix=suffix)


def _shared_start(texts: Sequence[str]) -> str:
    first, last = min(texts), max(texts)
    pairs = enumerate(zip(first, last, strict=False))
    length = next((n for n, (one, other) in pairs if one != other), min(len(first), len(last)))
    return first[: min(length, _LONGEST_AFFIX)]


def _without_affix(text: str, *, prefix: str = "", suffix: str = "") -> str:
    return _all_forms(text).removeprefix(prefix).removesuffix(suffix)


def _equal(
    of_log: Collection[str], of_table: Collection[str], log_form: _Form, table_form: _Form
) -> Mapping[str, str]:
    """Return for each id of the log that a table's id equals in these forms that id."""
    known = {table_form(text): text for text in of_table}
    known.pop("", None)
    forms = {text: log_form(text) for text in of_log}
    return {text: known[form] for text, form in forms.items() if form in known}


def _without_decimals(text: str) -> str:
    return re.sub(r"(?<=\d)[.,]0+$", "", text)


def _without_zeros(text: str) -> str:
    return re.sub(r"^0+(?=.)", "", text)


def _without_quotes(text: str) -> str:
    return text.strip(_QUOTES)


def _without_exponent(text: str) -> str:
    if _EXPONENT.fullmatch(text) is None:
        return text
    try:
        return format(Decimal(text).normalize(), "f")
    except InvalidOperation:
        return text


def _without_thousands(text: str) -> str:
    return _THOUSANDS.sub("", text)


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _all_forms(text: str) -> str:
    for form in _SINGLE.values():
        text = form(text)
    return text


_SINGLE: Mapping[str, _Form] = {
    "white space": trimmed,
    "quotes": _without_quotes,
    "upper and lower case": str.casefold,
    "decimals": _without_decimals,
    "leading zeros": _without_zeros,
    "thousands separators": _without_thousands,
    "an exponent": _without_exponent,
    "how accents are composed (etl.clean.id_normal_form: nfc makes them one)": _composed,
}
_FORMS: Mapping[str, _Form] = {
    **_SINGLE,
    "several of white space, quotes, case, decimals and leading zeros": _all_forms,
}


def _zeros(digits: str) -> int:
    return len(digits) - _others(digits)


def _others(digits: str) -> int:
    return len(digits.lstrip("0"))


def _letter(char: str) -> str:
    if not char.isalpha():
        return char
    return "A" if char.isupper() else "a"
