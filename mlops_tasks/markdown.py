"""Texts of anybody's in Markdown, so that no renderer reads anything in them: no link, mention, cell or tag."""

from __future__ import annotations

import re


def is_page(url: str) -> bool:
    """Whether a link may lead to `url`: an address without anything that Markdown or a terminal would read."""
    return re.fullmatch(r"https?://[!#-;=?-\[\]_a-z~]+", url) is not None


def code(text: str) -> str:
    """`text` on one line as Markdown's code, in which nothing is read."""
    plain = printable(text)
    ticks = "`" * (max(map(len, re.findall("`+", plain)), default=0) + 1)
    pad = " " if plain.strip("` ") != plain else ""
    return f"{ticks}{pad}{plain}{pad}{ticks}"


def block(text: str) -> str:
    """`text` as a block of Markdown's code, in which nothing is read."""
    lines = [printable(line) for line in text.splitlines()]
    ticks = "`" * max(3, *(len(each) + 1 for line in lines for each in re.findall("`+", line)), 3)
    return "\n".join([ticks, *lines, ticks])


def cell(text: str) -> str:
    """`text` as code in a cell of a table; an empty one stays empty.

    A pipe is shown as a broken bar: renderers do not agree on where a cell ends after a backslash.
    """
    return code(text.replace("|", "¦")) if text else ""


def link(text: str, url: str) -> str:
    """A link where one may lead to `url`, else the text alone; `text` is our own."""
    return f"[{text}](<{url}>)" if is_page(url) else text


def printable(text: str) -> str:
    """`text` with a ? for each character that steers: line ends, terminal escapes, direction marks."""
    return "".join(each if each.isprintable() else "?" for each in text)
