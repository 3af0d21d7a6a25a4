"""Draw a comparison: a panel for each metric, over the branch's runs in order, other runs as horizontal lines.

The only module that imports matplotlib, which comes with MLflow, and only once something is drawn.
"""

from __future__ import annotations

import base64
import html
import io
import math
import textwrap
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mlops_tasks import errors, files, markdown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mlops_tasks.pipeline.comparison import Panel, Picture

SUFFIXES = (".png", ".html")
MOST = 24
"""Panels of one picture."""
NAMED = 8
"""Runs whose ids stand below a panel; of more runs there is no room for that, and their numbers do."""
WIDTH, HEIGHT = 4.6, 2.7
"""Inches of a panel."""
LINE = 40
"""Characters of a metric's name on one line; it has two."""


class Theme(NamedTuple):
    """Colours of text, grid, the branch's runs, and the runs beside them."""

    text: str
    grid: str
    runs: str
    levels: tuple[str, ...]


LIGHT = Theme("#1f2328", "#d1d9e0", "#0969da", ("#bc4c00", "#8250df", "#1a7f37"))
DARK = Theme("#e6edf3", "#30363d", "#4493f8", ("#f0883e", "#ab7df8", "#3fb950"))
ANY = Theme("#7d8590", "#7d859055", "#2f81f7", ("#db6d28", "#986ee2", "#2ea043"))
"""What can be read on white and on black: a PNG does not know where it will be shown."""

PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>body {{ margin: 2em; font-family: sans-serif; }} img {{ max-width: 100%; height: auto; }}</style>
<h1>{title}</h1>
<picture>
<source media="(prefers-color-scheme: dark)" srcset="data:image/svg+xml;base64,{dark}">
<img alt="{title}" src="data:image/svg+xml;base64,{light}">
</picture>
</html>
"""


def check_name(path: Path) -> None:
    """Raise BadInput for a file of another kind than pictures are written in."""
    if path.suffix.lower() not in SUFFIXES:
        raise errors.BadInput(
            f"there are no pictures of the kind {path.suffix or 'without an ending'}",
            where=f"--plot {path}",
            cure=f"name a file that ends in {' or '.join(SUFFIXES)}",
        )


def write(picture: Picture, path: Path) -> None:
    """Write the picture, for light and dark pages alike: as PNG without a background, or as HTML that has both."""
    if path.suffix.lower() == ".png":
        data = _draw(picture, ANY, "png")
    else:
        title = html.escape(markdown.printable(picture.title))
        light, dark = (base64.b64encode(_draw(picture, each, "svg")).decode("ascii") for each in (LIGHT, DARK))
        data = PAGE.format(title=title, light=light, dark=dark).encode("utf-8", "backslashreplace")
    try:
        with files.written_whole(path) as stream:
            stream.write(data)
    except OSError as fault:
        raise errors.StepFailed(
            f"the picture cannot be written: {fault.strerror}", where=path, cure="name another place by --plot"
        ) from fault


def _draw(picture: Picture, theme: Theme, form: str) -> bytes:
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as fault:
        raise errors.StepFailed(
            f"matplotlib, which draws the picture, cannot be imported: {fault}",
            where="the environment of `inv`",
            cure="pip install matplotlib",
        ) from fault

    panels = picture.panels[:MOST]
    columns = 1 if len(panels) == 1 else 2 if len(panels) <= 4 else 3  # noqa: PLR2004 - a page's width is three panels
    rows = math.ceil(len(panels) / columns)
    style: Any = {
        **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), theme.text),
        **dict.fromkeys(("axes.edgecolor", "grid.color"), theme.grid),
        "font.size": 9,
        "svg.hashsalt": "mlops_tasks",
        "text.parse_math": False,  # a $ in a name is a $
    }
    drawn = io.BytesIO()
    with mpl.rc_context(style), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a character that the font lacks is drawn as a box
        figure = Figure(figsize=(WIDTH * max(columns, 1.4), HEIGHT * rows + 0.5), layout="constrained", dpi=160)
        for place, panel in enumerate(panels):
            _draw_panel(figure.add_subplot(rows, columns, place + 1), panel, picture, theme)
        _explain(figure, picture, theme)
        metadata = {"Date": None, "Creator": None} if form == "svg" else {"Software": None}
        figure.savefig(drawn, format=form, transparent=True, metadata=metadata)
    return drawn.getvalue()


def _draw_panel(axes: Axes, panel: Panel, picture: Picture, theme: Theme) -> None:
    places = list(range(1, len(panel.values) + 1))
    few = len(places) <= NAMED
    axes.plot(places, panel.values, color=theme.runs, marker="o", markersize=5 if few else 3, linewidth=1.5, zorder=3)
    for level, colour in zip(panel.levels, _colours(picture, theme), strict=True):
        if math.isfinite(level):
            axes.axhline(level, color=colour, linestyle="--", linewidth=1.3, zorder=2)
    for best in panel.best:
        axes.plot(
            [places[best]], [panel.values[best]], "o", markersize=10, markerfacecolor="none", color=theme.runs, zorder=4
        )
    axes.set_title(f"{_fold(panel.metric)}\n{panel.said}", loc="left", fontsize=9)
    axes.set_xlim(0.5, len(places) + 0.5)
    axes.margins(y=0.15)
    axes.grid(visible=True, axis="y", linewidth=0.6)
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.spines[["top", "right"]].set_visible(False)
    if few:
        axes.set_xticks(places, [_plain(each) for each in picture.runs], rotation=25, ha="right", fontsize=8)
    else:
        step = math.ceil(len(places) / 10)
        axes.set_xticks(places[(len(places) - 1) % step :: step])


def _explain(figure: Figure, picture: Picture, theme: Theme) -> None:
    """The legend, above all panels."""
    from matplotlib.lines import Line2D

    count = len(picture.runs)
    lines = [Line2D([], [], color=theme.runs, marker="o", markersize=5)]
    lines += [Line2D([], [], color=colour, linestyle="--") for colour in _colours(picture, theme)]
    own = f"{_plain(picture.branch)}: {f'{count} runs, the newest on the right' if count > 1 else '1 run'}"
    labels = [own, *(_plain(each) for each in picture.levels)]
    if any(each.best for each in picture.panels[:MOST]):
        lines.append(Line2D([], [], color=theme.runs, marker="o", markersize=10, markerfacecolor="none", linestyle=""))
        labels.append("best")
    figure.legend(lines, labels, loc="outside upper left", ncols=len(labels), frameon=False, fontsize=9)


def _colours(picture: Picture, theme: Theme) -> list[str]:
    return [theme.levels[place % len(theme.levels)] for place in range(len(picture.levels))]


def _plain(text: str) -> str:
    return textwrap.shorten(markdown.printable(text), 40, placeholder="…") or "-"


def _fold(name: str) -> str:
    """A metric's name on at most two lines; of a longer one the middle is left out."""
    name = markdown.printable(name)
    if len(name) > 2 * LINE:
        name = f"{name[:LINE]}…{name[1 - LINE :]}"
    return "\n".join(textwrap.wrap(name, LINE) or ["-"])
