from __future__ import annotations

import base64
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from mlops_tasks import errors
from mlops_tasks.pipeline.comparison import Panel, Picture
from mlops_tasks.tasks import picture

HOSTILE = "</title><script>alert(1)</script> $x_1$ \x1b[31m"


def make(count: int, *, metric: str = "auc", levels: tuple[str, ...] = ("main",)) -> Picture:
    values = tuple(math.nan if place == 3 else place / 10 for place in range(count))
    panel = Panel(metric, values, tuple(0.2 for _ in levels), "0.8 ↑ +2%", best=(count - 1,) if count > 1 else ())
    runs = tuple(f"{place:08x}" for place in range(count))
    return Picture("p on b", "b", runs, levels, (panel,))


class Page(HTMLParser):
    """The tags of a page, and where each leads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = dict(attrs)
        if source := found.get("src") or found.get("srcset"):
            self.sources[found.get("media") or ""] = source


@pytest.mark.parametrize("count", [1, 2, 50])
def test_a_png_has_no_background_so_that_it_fits_any_page(tmp_path: Path, count: int) -> None:
    picture.write(make(count), tmp_path / "new" / "a.PNG".lower())

    with Image.open(tmp_path / "new" / "a.png") as found:
        image = found.convert("RGBA")
        colours = {colour for _, colour in image.getcolors(1 << 24) or ()}
        assert image.size[0] > image.size[1] > 300
        assert image.getpixel((0, 0)) == (255, 255, 255, 0)
    wanted = [tuple(bytes.fromhex(each[1:7])) for each in (picture.ANY.runs, picture.ANY.levels[0], picture.ANY.text)]
    for rgb in wanted:
        assert (*rgb, 255) in colours


def test_a_page_is_one_file_with_a_picture_for_light_and_one_for_dark(tmp_path: Path) -> None:
    picture.write(make(2)._replace(title=HOSTILE, branch=HOSTILE), tmp_path / "a.html")

    page = Page((tmp_path / "a.html").read_text())
    assert "script" not in page.tags
    assert list(page.sources) == ["(prefers-color-scheme: dark)", ""]
    drawn = [base64.b64decode(each.partition("base64,")[2]).decode() for each in page.sources.values()]
    for text, theme, other in zip(drawn, (picture.DARK, picture.LIGHT), (picture.LIGHT, picture.DARK), strict=True):
        assert theme.text in text
        assert other.text not in text
        assert not re.search(r"<script|<image|(?:href|src)=\"(?!#)", text)


def test_long_hostile_and_foreign_names_are_drawn_as_they_are(tmp_path: Path) -> None:
    for metric in ("m" * 300, "a b " * 60, HOSTILE, "$", "指標", ""):
        picture.write(make(2, metric=metric, levels=("main", HOSTILE, "c", "d")), tmp_path / "a.png")


def test_a_picture_is_the_same_for_the_same_runs(tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        picture.write(make(3), tmp_path / name)

    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(errors.StepFailed, match="the picture cannot be written"):
        picture.write(make(1), tmp_path / "file" / "a.png")


def test_a_file_of_another_kind_is_refused() -> None:
    picture.check_name(Path("a.HTML"))
    for name in ("a.svg", "a", ".png"):
        with pytest.raises(errors.BadInput, match="no pictures of the kind") as refused:
            picture.check_name(Path(name))
        assert "ends in .png or .html" in refused.value.cure


def test_of_many_metrics_the_first_are_panels_of_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "MOST", 2)

    for name, number in {"a.png": 2, "b.png": 5}.items():
        picture.write(make(2)._replace(panels=make(2).panels * number), tmp_path / name)

    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
