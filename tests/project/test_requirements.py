from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from mlops_tasks import errors
from mlops_tasks.project import requirements


@pytest.mark.parametrize(
    ("entry", "path", "distribution"),
    [
        ("/dbfs/libs/My_Lib-1.0-py3-none-any.whl", "/dbfs/libs/My_Lib-1.0-py3-none-any.whl", "my-lib"),
        (
            "./dist/my.lib-1.0-1-cp311-cp311-linux_x86_64.WHL",
            "./dist/my.lib-1.0-1-cp311-cp311-linux_x86_64.WHL",
            "my-lib",
        ),
        ("lib@https://h/lib-1-py3-none-any.whl#sha256=ab", "https://h/lib-1-py3-none-any.whl", "lib"),
        ("WHEELPATH/lib-1-py3-none-any.whl", "WHEELPATH/lib-1-py3-none-any.whl", "lib"),
        ("lib-1-py3-none-any.whl  # why", "lib-1-py3-none-any.whl", "lib"),
        ("lib @ file:///WHEELPATH", "file:///WHEELPATH", "lib"),
    ],
)
def test_an_entry_that_names_a_wheel_is_taken_apart(entry: str, path: str, distribution: str) -> None:
    found = requirements.read_wheel(entry, placeholder="WHEELPATH")
    assert found is not None
    assert (found.path, found.distribution, found.stands_for_all) == (path, distribution, False)


@pytest.mark.parametrize("entry", ["WHEELPATH", "dbfs:/x/WHEELPATH", "WHEELPATH[a] ; os_name == 'nt'"])
def test_a_placeholder_stands_for_all_wheels(entry: str) -> None:
    found = requirements.read_wheel(entry, placeholder="WHEELPATH")
    assert found is not None
    assert found.stands_for_all


@pytest.mark.parametrize(
    "entry", ["", "numpy==2", "-e .", "--find-links WHEELPATH", "-r x.whl", "one\nWHEELPATH", "x.whl --upgrade", "whl"]
)
def test_anything_else_is_no_entry_for_a_wheel(entry: str) -> None:
    assert requirements.read_wheel(entry, placeholder="WHEELPATH") is None


def test_extras_and_marker_are_read_and_a_hash_is_let_go() -> None:
    found = requirements.read_wheel(
        "a-1-py3-none-any.whl[x, y]#sha256=1 --hash=sha256:2 ; os_name=='nt' # c", placeholder="W"
    )
    assert found is not None
    assert (found.extras, found.marker) == ("x, y", "os_name=='nt'")


@given(st.text() | st.text(alphabet="aW-@[]#; ./whl:", max_size=30))
def test_any_text_is_an_entry_or_is_not(entry: str) -> None:
    found = requirements.read_wheel(entry, placeholder="W")
    assert found is None or found.path in entry


@pytest.mark.parametrize(
    ("uri", "entry"),
    [
        ("file:///a%20b/x-1-py3-none-any.whl", "x[e] @ file:///a%20b/x-1-py3-none-any.whl ; os_name == 'nt'"),
        ("dbfs:/w/x.whl", "/dbfs/w/x.whl[e] ; os_name == 'nt'"),
        ("dbfs:///w/x.whl", "/dbfs/w/x.whl[e] ; os_name == 'nt'"),
        ("/Volumes/c/s/v/x.whl", "/Volumes/c/s/v/x.whl[e] ; os_name == 'nt'"),
        ("/Workspace/Shared/x.whl", "/Workspace/Shared/x.whl[e] ; os_name == 'nt'"),
        ("s3://b/x.whl", "x[e] @ s3://b/x.whl ; os_name == 'nt'"),
    ],
)
def test_pip_gets_a_path_where_the_cluster_has_one_and_else_a_name_at_a_uri(uri: str, entry: str) -> None:
    assert requirements.write_wheel(uri, "x", extras="e", marker="os_name == 'nt'") == entry


def test_without_extras_and_marker_nothing_is_added() -> None:
    assert requirements.write_wheel("file:///x.whl", "x") == "x @ file:///x.whl"
    assert requirements.write_wheel("dbfs:/x.whl", "x") == "/dbfs/x.whl"


def test_a_named_entry_is_a_requirement_by_the_standard() -> None:
    found = Requirement(requirements.write_wheel("file:///x%2B1.whl", "x", extras="a,b", marker="os_name == 'nt'"))
    assert (found.url, found.extras, str(found.marker)) == ("file:///x%2B1.whl", {"a", "b"}, 'os_name == "nt"')


def test_lines_of_other_requirements_stand_in_the_place_of_their_name(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "requirements.txt").write_text("mlflow==2.17.2  # ours\n-r more/deep.txt\n\n# nothing\n")
    (tmp_path / "more" / "deep.txt").write_text("a==1 \\\n  --hash=sha256:0\n--constraint limits.txt\n")

    lines = list(
        requirements.expand(["first", "-r requirements.txt", "-r https://example.org/x.txt"], tmp_path / "e.yaml")
    )

    assert lines == [
        ("first", tmp_path / "e.yaml"),
        ("mlflow==2.17.2", tmp_path / "requirements.txt"),
        ("a==1   --hash=sha256:0", tmp_path / "more" / "deep.txt"),
        (f"-c {tmp_path / 'more' / 'limits.txt'}", tmp_path / "more" / "deep.txt"),
        ("-r https://example.org/x.txt", tmp_path / "e.yaml"),
    ]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("-r more.txt", "more.txt"),
        ('-r "more lines.txt"', "more lines.txt"),
        ("-r 'more lines.txt'", "more lines.txt"),
        ("-r more lines.txt  # ours", "more lines.txt"),
        ('-r "', '"'),
        ("-r xax", "xax"),
    ],
)
def test_a_file_of_more_lines_may_stand_in_quotes_that_match(tmp_path: Path, text: str, name: str) -> None:
    (tmp_path / name).write_text("a==1\n")

    assert list(requirements.expand([text], tmp_path / "e.yaml")) == [("a==1", tmp_path / name)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("-e .", "-e {base}/own"),
        ("--editable=../lib[all]", "--editable {base}/lib[all]"),
        ("..", "{base}"),
        (
            "./dist/x-1-py3-none-any.whl ; os_name == 'posix'",
            "{base}/own/dist/x-1-py3-none-any.whl ; os_name == 'posix'",
        ),
        ("dist/x-1.tar.gz", "{base}/own/dist/x-1.tar.gz"),
        ("./lib", "{base}/lib"),
        ("--find-links wheels  # ours", "--find-links {base}/own/wheels  # ours"),
        ("--find-links=lib", "--find-links {base}/lib"),
        ("a b/c", "{base}/own/a%20b/c"),
    ],
)
def test_a_relative_path_counts_from_the_folder_of_its_file_or_from_the_one_that_pip_works_in(
    tmp_path: Path, text: str, found: str
) -> None:
    for folder in ("lib", "own"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "pyproject.toml").write_text("")
    (tmp_path / "setup.py").write_text("")

    line = requirements.Line(text, tmp_path / "own" / "r.txt")

    assert requirements.located(line, base=tmp_path) == found.replace("{base}", tmp_path.as_uri())


@pytest.mark.parametrize(
    "text",
    [
        *("numpy>=1", "x @ file:///a/b.whl", "/dbfs/libs/x-1-py3-none-any.whl", "-e git+https://h/x", "git+ssh://h/x"),
        *(
            "-r more.txt",
            "--no-index",
            "--pre",
            "<WHEELS>",
            "x==${VERSION}",
            "x==1 --global-option=a",
            "https://h/x.whl",
            "a @ https://h/a/b",
            "",
            "-e /abs/lib",
        ),
    ],
)
def test_what_is_no_relative_path_stays_as_it_is(tmp_path: Path, text: str) -> None:
    assert requirements.located(requirements.Line(text, tmp_path / "r.txt"), base=tmp_path) == text


@pytest.mark.parametrize("text", ["numpy = 1.26", "numpy==1.26=py311_0", "numpy=>1", "numpy[all]=1"])
def test_what_pip_cannot_read_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.txt").write_text(f"# ours\n{text}  # why\n")

    with pytest.raises(errors.BadInput, match="cannot read this requirement") as caught:
        requirements.located(requirements.Line(text, tmp_path / "r.txt"), base=tmp_path)

    assert caught.value.where == f"{tmp_path / 'r.txt'}:2"


@pytest.mark.parametrize("text", ["./../vend", "-e vend[x]", "lib/x-1.zip", "./vend  # ours", "x-1-py3-none-any.whl"])
def test_a_relative_path_to_nothing_is_lost(tmp_path: Path, text: str) -> None:
    (tmp_path / "envs").mkdir()
    line = requirements.Line(text, tmp_path / "envs" / "more.txt")
    lost = requirements.find_lost(line, base=tmp_path)

    assert lost is not None
    assert not lost.exists()
    for folder in (tmp_path, tmp_path / "envs"):
        for name in ("vend", "lib"):
            (folder / name).mkdir()
        for name in ("lib/x-1.zip", "x-1-py3-none-any.whl"):
            (folder / name).touch()
    assert requirements.find_lost(line, base=tmp_path) is None


@pytest.mark.parametrize(
    "text",
    [
        *("numpy", "x @ file:gone", "/gone", "-e git+https://h/x", "https://h/x.whl", "./gone ; python_version < '3'"),
        *(
            "${HOME}/gone",
            "-r gone.txt",
            "-f gone",
            "-i gone/simple",
            "x --global-option=a/b",
            "./gone --hash=sha256:0",
        ),
        "-e git@host:a/b",
    ],
)
def test_what_may_be_answered_elsewhere_is_not_lost(tmp_path: Path, text: str) -> None:
    assert requirements.find_lost(requirements.Line(text, tmp_path / "r.txt"), base=tmp_path) is None


@given(st.text(alphabet="ab1.-/ []#;:@'\"e", max_size=12))
def test_any_line_is_located_in_a_line(text: str) -> None:
    assert "\n" not in requirements.located(requirements.Line(text, Path("/here/r.txt")), base=Path("/there"))


def test_a_requirement_file_that_is_not_there_or_names_itself_is_said(tmp_path: Path) -> None:
    (tmp_path / "loop.txt").write_text("-r loop.txt\n")

    with pytest.raises(errors.BadInput, match="cannot be read: No such file"):
        list(requirements.expand(["-rgone.txt"], tmp_path / "e.yaml"))
    with pytest.raises(errors.BadInput, match="names itself"):
        list(requirements.expand(["--requirement=loop.txt"], tmp_path / "e.yaml"))


def test_a_file_that_names_itself_by_a_longer_way_is_found_once(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text(f"requests\n-r ../{tmp_path.name}/more.txt\n")

    assert requirements.find_other_files(["-r more.txt"], tmp_path) == [tmp_path / "more.txt"]
