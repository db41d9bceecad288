"""Warn about text files that look like another character set than `encoding` says."""

import codecs
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress

from conf.runs.inputs.input_files import InputFile
from conf.settings.input import Source
from etl.reading.drift import listed
from etl.reading.files.copies import spark_encoding
from etl.reading.files.file_kinds import UNPACK_ERRORS, codec_of_name, unpacked

_SAMPLE_BYTES = 1 << 16
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]+")
# So many letters of a multi-byte character set are hardly all valid UTF-8 by chance.
_LEAST_LETTERS = 8


def encoding_warnings(source: Source, files: Sequence[InputFile]) -> Iterator[str]:
    """Yield a warning if the first lines of files are in another character set.

    Either they have bytes that `encoding` cannot decode, or they are UTF-8 although `encoding` is
    another set, which would decode them to wrong letters.
    """
    if "a".encode(source.encoding) != b"a":
        return  # two or four bytes a letter: what is no such text has no columns
    odd: list[tuple[str, bytes]] = []
    mistaken: list[tuple[str, bytes]] = []
    for file in files:
        sample = _sample(file)
        if _count_undecodable(sample, source.encoding):
            odd.append((file.name, sample))
        elif _is_utf8_read_as_another(sample, source.encoding):
            mistaken.append((file.name, sample))
    if odd:
        name, sample = odd[0]
        yield (
            f"encoding: {_share(_count_undecodable(sample, source.encoding), sample)} of {name} "
            f"have bytes that are not {source.encoding}{_also(odd)}; "
            f"{_likeliest(sample, source.encoding)}"
        )
    if mistaken:
        name, sample = mistaken[0]
        found = sum(not line.isascii() for line in sample.splitlines())
        yield (
            f"encoding: {_share(found, sample)} of {name} have letters beyond ASCII in UTF-8, "
            f"but `encoding` is {source.encoding}, which makes {_mistake(sample, source.encoding)} "
            f"of them{_also(mistaken)}; {_likeliest(sample, source.encoding)}"
        )


def _sample(file: InputFile) -> bytes:
    """Return the first complete lines of a file, unpacked."""
    found = b""
    with suppress(*UNPACK_ERRORS):
        for chunk in unpacked(file.path, codec_of_name(file.path), _SAMPLE_BYTES):
            found += chunk
            if len(found) >= _SAMPLE_BYTES:
                return found[: found.rfind(b"\n") + 1]
    return found


def _count_undecodable(sample: bytes, encoding: str) -> int:
    """Return the number of lines with bytes that are not in a character set."""
    if _decodes(sample, encoding):
        return 0
    return sum(not _decodes(line, encoding) for line in sample.splitlines())


def _is_utf8_read_as_another(sample: bytes, encoding: str) -> bool:
    if spark_encoding(encoding) == "UTF-8" or not _is_utf8_beyond_ascii(sample):
        return False
    is_single_byte = len(bytes(range(256)).decode(encoding, "replace")) == 256
    letters = sum(byte >= 0xC0 for byte in sample)
    return is_single_byte or letters >= _LEAST_LETTERS


def _is_utf8_beyond_ascii(sample: bytes) -> bool:
    return not sample.isascii() and _decodes(sample, "utf-8")


def _decodes(text: bytes, encoding: str) -> bool:
    try:
        codecs.decode(text, encoding)
    except UnicodeError:
        return False
    return True


def _likeliest(sample: bytes, encoding: str) -> str:
    """Return what to set `encoding` to."""
    if _is_utf8_beyond_ascii(sample):
        return "set `encoding` of the input to UTF-8"
    beyond = sum(not line.isascii() for line in sample.splitlines())
    if 2 * _count_undecodable(sample, encoding) < beyond:
        return "most other letters beyond ASCII fit, so these lines may be damaged"
    runs = _BEYOND_ASCII.findall(sample)
    if 2 * sum(len(run) < 3 for run in runs) > len(runs):  # single letters among plain ones
        return (
            "set `encoding` of the input, likeliest to cp1252 (windows-1252, Western Europe), "
            "else to cp1250 (Central Europe)"
        )
    return "set `encoding` of the input to the character set of the program that wrote it"


def _mistake(sample: bytes, encoding: str) -> str:
    """Return the wrong letters that the first one in UTF-8 would become."""
    letter = next(letter for letter in sample.decode("utf-8") if not letter.isascii())
    return f"{letter.encode().decode(encoding, 'replace')!r} for {letter!r} and the like"


def _share(found: int, sample: bytes) -> str:
    return f"{found} of the first {len(sample.splitlines())} lines"


def _also(files: Sequence[tuple[str, bytes]]) -> str:
    others = [name for name, _ in files[1:]]
    return f", and so have {listed(others)}" if others else ""
