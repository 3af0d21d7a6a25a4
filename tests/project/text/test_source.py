from __future__ import annotations

from pathlib import Path

import pytest

from mlops_tasks import errors
from mlops_tasks.project.text import source as texts


def test_line_ends_and_a_byte_order_mark_survive_reading_and_writing(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\rc: \xc3\xa9")
    texts.write({path: texts.read(path)})
    assert path.read_bytes() == b"\xef\xbb\xbfa: 1\r\nb: 2\rc: \xc3\xa9"


def test_a_file_keeps_its_mode_when_it_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "train.sh"
    path.write_text("one")
    path.chmod(0o750)
    texts.write({path: "two"})
    assert (path.read_text(), oct(path.stat().st_mode & 0o777)) == ("two", "0o750")


def test_a_file_that_is_not_utf_8_is_refused_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes("name: x\nowner: Ren\xe9\n".encode("latin-1"))
    with pytest.raises(errors.BadInput, match=r"a\.yaml:2:11"):
        texts.read(path)


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.BadInput, match="cannot be read"):
        texts.read(tmp_path)


@pytest.mark.parametrize(
    ("text", "index", "place"),
    [
        pytest.param("abc", 1, "f:1:2", id="first line"),
        pytest.param("a\r\nbc", 4, "f:2:2", id="crlf"),
        pytest.param("a\rb", 2, "f:2:1", id="cr"),
        pytest.param("\ufeffab", 2, "f:1:2", id="byte order mark"),
    ],
)
def test_a_place_counts_lines_and_columns_from_one(text: str, index: int, place: str) -> None:
    assert texts.show_place(Path("f"), text, index) == place


def test_edits_are_made_from_their_positions_in_the_old_text() -> None:
    edits = [texts.Edit(start=0, end=1, new="xyz"), texts.Edit(start=2, end=2, new="-")]
    assert texts.apply("abc", [*edits, edits[0]]) == "xyzb-c"


@pytest.mark.parametrize(("text", "index", "end"), [("a\r\nb\nc", 3, "\r\n"), ("a\nb", 0, "\n"), ("a", 0, "\n")])
def test_the_nearest_line_end_is_the_one_before_else_the_one_after(text: str, index: int, end: str) -> None:
    assert texts.line_end_near(text, index) == end


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    one = tmp_path / "one.yaml"
    with pytest.raises(errors.StepFailed, match="cannot be written") as caught:
        texts.write({one: "1", Path("/proc/none/two.yaml"): "2"})
    assert caught.value.where == "/proc/none/two.yaml"
    assert list(tmp_path.iterdir()) == []


def test_a_pointer_in_the_place_of_a_file_is_refused_as_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "env.yaml"
    path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 1\n")

    with pytest.raises(errors.BadInput, match="this is a Git LFS pointer, not the file itself") as caught:
        texts.read(path)

    assert (caught.value.where, caught.value.cure) == (str(path), "`git lfs pull`")
