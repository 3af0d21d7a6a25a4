from __future__ import annotations

import io
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from mlops_tasks.tasks import console

SPINNER = set("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


Make = Callable[..., tuple[console.Console, io.StringIO, io.StringIO]]


@pytest.fixture
def make() -> Make:
    def build(
        stream: type[io.StringIO] = io.StringIO, environ: Mapping[str, str] | None = None, **options: Any
    ) -> tuple[console.Console, io.StringIO, io.StringIO]:
        out, err = stream(), stream()
        return console.Console(out=out, err=err, environ=environ or {}, **options), out, err

    return build


def test_results_go_to_stdout_and_all_else_to_stderr(make: Make) -> None:
    shown, out, err = make()

    shown.step("name", "/Shared/x\nwheels in w")
    shown.text("a diff\n")
    shown.detail("looking")
    shown.warning("careful")
    shown.output("epoch 1")

    assert out.getvalue() == "name         /Shared/x\n             wheels in w\na diff\n"
    assert err.getvalue() == "  looking\nwarning: careful\nepoch 1\n"


def test_a_board_is_drawn_anew_on_a_terminal_and_told_line_by_line_elsewhere(make: Make) -> None:
    (plain, _, lines), (drawn, _, screen) = make(), make(Terminal)

    for shown in (plain, drawn):
        with shown.board(["values", "state", "because"]) as show:
            show([["c=1", "starting", ""]], "")
            show([["c=1", "FAILED", "of a long reason " * 9]], "c=1: FAILED")

    assert lines.getvalue() == "  c=1: FAILED\n"
    assert all(words in screen.getvalue() for words in ("values", "starting", "c=1     FAILED  of a long"))
    assert "c=1: FAILED" not in screen.getvalue()


def test_quiet_leaves_results_and_warnings(make: Make) -> None:
    shown, out, err = make(quiet=True)

    shown.step("name", "made")
    shown.detail("looking")
    shown.output("epoch 1")
    shown.warning("careful")
    with shown.waiting("building"), shown.transfer("writing", 3) as moved:
        moved(3)

    assert out.getvalue() == "name         made\n"
    assert err.getvalue() == "warning: careful\n"


def test_debug_is_shown_only_when_verbose(make: Make) -> None:
    plain, _, err = make()
    plain.debug("inner")
    assert err.getvalue() == ""

    verbose, _, err = make(verbose=True)
    verbose.debug("inner")
    assert err.getvalue() == "  inner\n"


def test_without_results_stdout_stays_empty_for_json(make: Make) -> None:
    shown, out, _ = make(results=False)

    shown.step("name", "made")
    shown.text("a diff")
    shown.table("runs", ["", "this"], [["f1", "0.9"]])

    assert out.getvalue() == ""


def test_without_a_terminal_there_are_plain_lines_and_no_escape_codes(make: Make) -> None:
    shown, out, err = make()

    shown.step("deploy", "done")
    with shown.transfer("writing to w", 256_000_000) as moved:
        moved(256_000_000)
    with shown.transfer("writing what is there at once", 1500) as moved:
        moved(1500)
    with shown.waiting("building mylib"):
        pass

    assert "\033" not in out.getvalue() + err.getvalue()
    assert err.getvalue().splitlines() == ["  writing to w (256.0 MB)", "  building mylib"]


def test_on_a_terminal_there_is_a_bar_where_the_size_is_known(make: Make) -> None:
    shown, _, err = make(Terminal)

    with shown.transfer("writing", 2048) as moved:
        moved(2048)

    assert "writing" in err.getvalue()
    assert "\033" in err.getvalue()


def test_on_a_terminal_there_is_a_spinner_where_the_size_is_unknown(make: Make) -> None:
    shown, _, err = make(Terminal)

    with shown.waiting("building mylib"):
        pass

    assert "building mylib" in err.getvalue()
    assert SPINNER & set(err.getvalue())


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb terminal"])
def test_no_color_means_no_colours(make: Make, environ: dict[str, str]) -> None:
    coloured, out, _ = make(Terminal)
    coloured.step("name", "made")
    assert "\033[" in out.getvalue()

    plain, out, err = make(Terminal, environ)
    plain.step("name", "made")
    plain.warning("careful")
    assert "\033" not in out.getvalue() + err.getvalue()


def test_a_table_shows_text_as_it_is(make: Make) -> None:
    shown, out, _ = make()

    shown.table("runs", ["metric", "this run"], [["[bold]f1", "0.9"]])

    assert "[bold]f1" in out.getvalue()
    assert "this run" in out.getvalue()


def test_a_character_that_the_stream_cannot_show_is_escaped() -> None:
    raw = io.BytesIO()
    narrow = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    shown = console.Console(out=narrow, err=narrow, environ={})

    shown.step("name", "größe")

    assert raw.getvalue() == b"name         gr\\xf6\\xdfe\n"


def test_commands_are_shown_under_the_names_that_they_have_here(make: Make) -> None:
    shown, _, err = make(spell=lambda text: text.replace("inv name", "inv mlops.name"))

    shown.detail("next: inv name")
    shown.warning("`inv name` begins it")

    assert err.getvalue() == "  next: inv mlops.name\nwarning: `inv mlops.name` begins it\n"


def test_a_long_path_in_a_table_of_texts_stays_in_one_piece(make: Make) -> None:
    shown, out, _ = make(Terminal)
    path = "/".join(["folder"] * 30)

    shown.table("where", ["step", "made"], [["name", path]])

    assert path in out.getvalue()


def test_without_colours_a_table_has_no_styles_either(make: Make) -> None:
    shown, out, _ = make(Terminal, environ={"NO_COLOR": "1"})

    shown.table("metrics", ["", "this run"], [["loss", "1"]], numbers=True)

    assert "\033" not in out.getvalue()


class Pieces(io.StringIO):
    """Keeps what each write gave it."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def write(self, text: str) -> int:
        self.pieces.append(text)
        return super().write(text)


def test_a_line_and_its_end_are_one_piece_so_that_nothing_of_the_other_stream_comes_between() -> None:
    out, err = Pieces(), Pieces()
    shown = console.Console(out=out, err=err, environ={})

    shown.step("name", "made")
    shown.fail("what\n  do: this")

    assert (out.pieces, err.pieces) == (["name         made\n"], ["error: what\n  do: this\n"])


def test_a_stdout_that_takes_no_more_is_told_once_and_given_up() -> None:
    err = io.StringIO()
    with Path("/dev/full").open("w", encoding="utf-8") as out:
        shown = console.Console(out=out, err=err, environ={})
        shown.step("name", "made")
        shown.text("more")

    assert err.getvalue().startswith("warning: stdout takes no more: No space left on device")
    assert err.getvalue().count("\n") == 1


def test_a_process_without_stdout_gets_an_empty_one_and_no_file_takes_its_number() -> None:
    code = (
        "import os, sys; from mlops_tasks.tasks import console; console.open_streams(); "
        "console.standard().step('name', 'made'); sys.stderr.write(str(min(os.open(os.devnull, 0), 3)))"
    )
    command = f"exec {shlex.quote(sys.executable)} -c {shlex.quote(code)} >&-"
    done = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "3")


def test_of_a_wide_table_of_numbers_the_last_columns_are_left_out() -> None:
    columns = ["", "this", *(f"{number}2345678" for number in range(20))]
    out = io.StringIO()

    console.Console(out=out, err=io.StringIO(), environ={}).table("", columns, [["auc", *["0.5"] * 21]], numbers=True)

    head, row = out.getvalue().splitlines()
    assert len(head) <= 120
    assert head.split() == [*columns[1 : len(row.split())], "…"]
    assert len(head.split()) > 8


def test_what_a_terminal_would_obey_in_a_name_is_shown_as_a_question_mark(make: Make) -> None:
    shown, out, err = make()
    hostile = "a\x1b]0;x\x07\u202eb\r\tc"

    shown.step("name", hostile)
    shown.text(f"{hostile}\r\n+d\r\n")
    shown.table(hostile, ["run", hostile], [["1", hostile]])
    shown.table("", ["", "[red]x"], [["a", hostile]], numbers=True)
    shown.warning(hostile)
    shown.detail(hostile)
    shown.fail(hostile)

    assert not set("\x1b\x07\u202e") & set(out.getvalue() + err.getvalue())
    assert err.getvalue().count("a?]0;x??b?\tc") == 3
    assert "c\r\n+d\r\n" in out.getvalue()
    assert "[red]x" in out.getvalue()


def test_while_something_works_a_name_with_brackets_is_shown_as_it_is(make: Make) -> None:
    shown, _, err = make(Terminal)

    with shown.waiting("building a[/b]\x07"):
        pass
    with shown.transfer("c[red]d", 1) as moved:
        moved(1)

    assert "building a[/b]?" in err.getvalue()
    assert "c[red]d" in err.getvalue()
