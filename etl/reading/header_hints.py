"""What may be wrong if a header lacks the columns that are asked for."""

from collections.abc import Sequence

from conf.settings.input import Source

_SEPARATORS = (",", ";", "\t", "|", "::", ":", "^", "\u0001")


def header_hint(source: Source, names: Sequence[str], missing: Sequence[str]) -> str:
    """Return a question about the likeliest reason, in brackets; empty if there is none.

    Args:
        source: The input.
        names: The names that its file has.
        missing: The names that it lacks; several may be joined by " or ".
    """
    wanted = {name.casefold() for text in missing for name in text.split(" or ")}
    folded = {name.strip().strip("\"'\ufeff").strip().casefold() for name in names}
    if source.format == "csv" and names:
        hint = _csv_hint(source, names, wanted)
        if hint:
            return f" ({hint})"
    if wanted & folded:
        return " (they differ in case, white space or quotes: are match_case and quote right?)"
    return ""


def _csv_hint(source: Source, names: Sequence[str], wanted: set[str]) -> str:
    line = source.separator.join(names)
    if line.lstrip().startswith(("{", "[{")):
        return "the first line is JSON: is format: jsonl right?"
    found = {mark: _parts(line, mark) for mark in _SEPARATORS if mark != source.separator}
    fits = [mark for mark, parts in found.items() if wanted & parts]
    likely = fits or [mark for mark, parts in found.items() if len(names) == 1 and len(parts) > 1]
    if likely:
        mark = max(likely, key=lambda m: (len(wanted & found[m]), len(found[m] - {""}), len(m)))
        return f"is separator: {mark!a} right?".replace("'", '"')
    if source.header and any(_is_number(name) for name in names):
        return "the first line looks like a row: are header: false and column_names right?"
    return ""


def _parts(line: str, mark: str) -> set[str]:
    return {part.strip().strip("\"'\ufeff").strip().casefold() for part in line.split(mark)}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
