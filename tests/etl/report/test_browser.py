"""The report in a real browser without a screen, in light and in dark."""

import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from conf.contract import Manifest
from conf.settings.train import Train
from etl.report.page import render
from tests.conf.pages.test_plot import compared
from tests.etl.reporting import full_data
from tests.trainer.pages.test_card import figures
from trainer.pages.card import card
from trainer.pages.card_samples import Row, UserSample
from trainer.pages.comparison import comparison_page

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
SCHEMES = {"dark": 0, "light": 1}  # as the browser numbers them
PAGES: dict[str, Callable[[], str]] = {
    "report": lambda: render(full_data("<script>alert(1)</script>")),
    "comparison": lambda: comparison_page(compared(12.5)).render(),
    "card": lambda: card("m-1", Train(), DATASET, figures(), SAMPLES).render(),
}
DATASET = Manifest(
    id="d-1", request="", logical_date="", as_of="", config={}, columns={}, files={},
    vocabularies={}, event_types=("view",), ledger={}, counts={"users": 3},
)  # fmt: skip
SAMPLES = [UserSample("<b>u", "1-4", ("a mug",), (Row("a jug", (("a mug", 1.0),), True),))]
SIZES = {"desktop": (1000, 700), "phone": (500, 1000)}


@pytest.mark.skipif(BROWSER is None, reason="no chromium on the path")
@pytest.mark.parametrize(
    ("page", "scheme", "size"),
    [
        *(("report", scheme, size) for scheme in SCHEMES for size in SIZES),
        ("comparison", "dark", "phone"),
        ("card", "light", "phone"),
        ("card", "dark", "desktop"),
    ],
)
def test_page_renders_without_errors(tmp_path: Path, page: str, scheme: str, size: str) -> None:
    (tmp_path / "report.html").write_text(PAGES[page]())
    width, height = SIZES[size]
    picture = tmp_path / "picture.png"
    done = subprocess.run(
        [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
         "--force-device-scale-factor=0.5",
         f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},{height}",
         f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}", "--enable-logging=stderr",
         f"--screenshot={picture}", (tmp_path / "report.html").as_uri()],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    pixels = read_png(picture)
    assert len(pixels) == width * height / 4
    background = sum(pixels[0])
    assert background < 150 if scheme == "dark" else background > 600
    assert len(set(pixels)) > 100  # text, whose edges are smoothed, and charts
    inside = sum(abs(sum(pixel) - background) > 150 for pixel in pixels)
    assert 0.01 < inside / len(pixels) < 0.7


def read_png(path: Path) -> list[tuple[int, int, int]]:
    """Return the colours of a picture with 8 bits for each, row by row."""
    data, place, packed = path.read_bytes(), 8, b""
    while place < len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        body = data[place + 8 : place + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colours = struct.unpack_from(">IIBB", body)
        packed += body if kind == b"IDAT" else b""
        place += length + 12
    assert (depth, colours) in ((8, 2), (8, 6))
    step = 3 if colours == 2 else 4
    raw, above, pixels = zlib.decompress(packed), bytearray(width * step), []
    for row in range(height):
        start = row * (width * step + 1)
        above = unfiltered(raw[start], raw[start + 1 : start + 1 + width * step], above, step)
        pixels += zip(above[::step], above[1::step], above[2::step], strict=True)
    return pixels


def unfiltered(kind: int, row: bytes, above: bytearray, step: int) -> bytearray:
    """Undo the filter of one row. Source: PNG specification, section 9."""
    left_of = [0] * step
    out = bytearray(left_of) + row
    up = bytearray(left_of) + above
    for n in range(step, len(out)):
        left, top, corner = out[n - step], up[n], up[n - step]
        distance = {
            0: 0, 1: left, 2: top, 3: (left + top) // 2, 4: nearest(left, top, corner)
        }[kind]  # fmt: skip
        out[n] = (out[n] + distance) & 255
    return out[step:]


def nearest(left: int, top: int, corner: int) -> int:
    guess = left + top - corner
    return min((left, top, corner), key=lambda value: abs(guess - value))
