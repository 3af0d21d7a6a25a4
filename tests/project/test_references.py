from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlops_tasks import errors
from mlops_tasks.project import references, requirements
from mlops_tasks.release import Deployed

ONE = Deployed(distribution="my-lib", uri="file:///w/my_lib-2.0-py3-none-any.whl", sha256="1")
TWO = Deployed(distribution="other", uri="file:///w/it's%20new/other-1.0-py3-none-any.whl", sha256="2")
DBFS = Deployed(distribution="my-lib", uri="dbfs:/w/my_lib-2.0-py3-none-any.whl", sha256="1")


def patch(
    text: str,
    *,
    role: references.Role = "conda",
    deployed: Sequence[Deployed] = (ONE, TWO),
    reachable: Sequence[str] = (),
) -> tuple[str, list[references.Change]]:
    wheels = references.Wheels(
        deployed=deployed, is_reachable=lambda entry: entry in reachable, placeholder="WHEELPATH"
    )
    return references.patch_text(Path("file"), text, role=role, wheels=wheels)


def new_entries(deployed: Sequence[Deployed], *, extras: str = "", marker: str = "") -> list[str]:
    return [requirements.write_wheel(each.uri, each.distribution, extras=extras, marker=marker) for each in deployed]


# --- any text: drawn in its marked form, where what may be changed stands between BEGIN and END and copies may be
# inserted at GAP; so a test knows exactly which characters have to survive

BEGIN, END, GAP = "\ue000", "\ue001", "\ue002"

PLAIN = st.sampled_from(
    ["numpy", "scikit-learn>=1.5", "-r more.txt", "pandas ; python_version < '3.12'", "mlflow==2.17"]
)
REFERENCES = st.sampled_from(
    [
        ("WHEELPATH", None, ""),
        ("/dbfs/WHEELPATH", None, ""),
        ("WHEELPATH ; sys_platform == 'linux'", None, "sys_platform == 'linux'"),
        ("/dbfs/libs/my_lib-1.0-py3-none-any.whl", "my-lib", ""),
        ("my.lib @ file:///old/My.Lib-0.1-py3-none-any.whl", "my-lib", ""),
        ("other @ https://example.com/other-0.1-py3-none-any.whl ; os_name=='posix'", "other", "os_name=='posix'"),
    ]
)
COMMENTS = st.sampled_from(["", "", '  # WHEELPATH: not "this" one', " #", "   # my_lib-1.0-py3-none-any.whl é"])


def unmark(marked: str) -> str:
    return re.sub(f"[{BEGIN}{END}{GAP}]", "", marked)


def assert_only_marked_places_changed(marked: str, new: str) -> None:
    fixed = re.split(f"{BEGIN}.*?{END}|{GAP}", marked, flags=re.DOTALL)
    assert re.fullmatch("(?s:.*?)".join(map(re.escape, fixed)), new)
    assert line_ends(new) <= line_ends(unmark(marked))


def line_ends(text: str) -> set[str]:
    return set(re.findall(r"\r\n|\n|\r", text))


@st.composite
def flow_scalars(draw: st.DrawFn, value: str) -> str:
    single = "'" + value.replace("'", "''") + "'"
    double = json.dumps(value)
    escaped = double.replace("W", "\\x57").replace("/", "\\/")
    return mark(draw(st.sampled_from([value if is_plain(value) else single, single, double, escaped])))


def is_plain(value: str) -> bool:
    try:
        return bool(yaml.safe_load(f"- {value}") == [value] == yaml.safe_load(f"[{value}]"))
    except yaml.YAMLError:
        return False


def mark(content: str) -> str:
    return f"{BEGIN}{content}{END}"


@st.composite
def block_scalars(draw: st.DrawFn, value: str, indent: str, line_end: str) -> str:
    """With content on one line or folded to several, and empty lines around it."""
    header = draw(st.sampled_from(["|", ">", "|-", ">-", "|+", ">+"]))
    before = draw(st.sampled_from(["", "", line_end]))
    after = draw(st.sampled_from(["", line_end, line_end * 2]))
    words = value.split(" ") if header[0] == ">" and draw(st.booleans()) else [value]
    content = f"{line_end}{indent}".join(words)
    return f"{header}{draw(COMMENTS)}{line_end}{before}{indent}{mark(content)}{after}"


@st.composite
def items(draw: st.DrawFn, *, in_flow: bool, indent: str, line_end: str) -> tuple[list[str], list[str]]:
    """Marked items of a pip section, and what they must parse to once they are patched."""
    marked: list[str] = []
    expected: list[str] = []
    anchors: dict[str, list[str]] = {}
    for number in range(draw(st.integers(1, 6))):
        if anchors and draw(st.integers(0, 3)) == 0:
            anchor = draw(st.sampled_from(sorted(anchors)))
            marked.append(f"*{anchor}" + (" " if in_flow else draw(COMMENTS)))
            expected += anchors[anchor]
            continue
        value, values = draw(entries())
        anchor = f"a{number}"
        properties = draw(st.sampled_from(["", "", f"&{anchor} ", "!!str ", f"!!str &{anchor} ", f"&{anchor} !!str "]))
        if "&" in properties:
            anchors[anchor] = values
        if in_flow:
            spelt = draw(flow_scalars(value))
        elif draw(st.integers(0, 2)) == 0:
            spelt = draw(block_scalars(value, indent, line_end))
        else:
            spelt = draw(flow_scalars(value)) + draw(COMMENTS)
        marked.append(properties + spelt)
        expected += values
    return marked, expected


@st.composite
def entries(draw: st.DrawFn) -> tuple[str, list[str]]:
    if draw(st.integers(0, 2)) == 0:
        plain = draw(PLAIN)
        return plain, [plain]
    value, distribution, marker = draw(REFERENCES)
    return value, new_entries([each for each in (ONE, TWO) if distribution in (None, each.distribution)], marker=marker)


@st.composite
def yaml_texts(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A marked conda YAML in any style, and what its pip section must parse to once it is patched."""
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    indent = " " * draw(st.integers(0, 4))
    in_flow = draw(st.booleans())
    marked, expected = draw(items(in_flow=in_flow, indent=indent + "     ", line_end=end))
    if in_flow:
        gap = draw(st.sampled_from([", ", ",", f",{end}{indent}      ", f" ,  # no{end}{indent}    "]))
        lead = draw(st.sampled_from(["", " ", f"{end}{indent}      "]))
        inner = gap.join(f"{GAP}{item}" for item in marked)
        section = f"{indent}- pip: [{lead}{inner}{draw(st.sampled_from(['', ' ', ',']))}]{draw(COMMENTS)}{end}"
    else:
        dash = draw(st.sampled_from(["- ", "-   ", f"-{end}{indent}      "]))
        gap = draw(st.sampled_from(["", "", end, f"   # between{end}"]))
        lines = gap.join(f"{indent}  {GAP}{dash}{item}{end}" for item in marked)
        section = f"{indent}- pip:{draw(COMMENTS)}{end}{lines}"
    head = draw(st.sampled_from(["", "\ufeff", f"# WHEELPATH{end}", f"---{end}", f"\ufeff# x{end}"]))
    before = draw(st.sampled_from(["", f"name: é{end}", f"channels: [a, 'b']{end}{end}"]))
    python = draw(st.sampled_from(["", f"{indent}- python=3.11{end}"]))
    text = f"{head}{before}dependencies:{end}{python}{section}"
    tail = draw(st.sampled_from(["", "", f"variables: {{a: 1}}{end}", f"...{end}"]))
    return (text if tail or draw(st.booleans()) else text.removesuffix(end)) + tail, expected


def split(data: Any) -> tuple[list[str], Any]:
    """The pip section, and everything else."""
    (section,) = [each["pip"] for each in data["dependencies"] if isinstance(each, dict)]
    others = [each for each in data["dependencies"] if not isinstance(each, dict)]
    return [value.strip() for value in section], {**data, "dependencies": others}


@given(yaml_texts())
def test_patching_any_yaml_changes_its_references_and_nothing_else(drawn: tuple[str, list[str]]) -> None:
    marked, expected = drawn
    old = unmark(marked)
    new, _ = patch(old)
    assert split(yaml.safe_load(new)) == (expected, split(yaml.safe_load(old))[1])
    assert_only_marked_places_changed(marked, new)
    assert patch(new)[0] == new


# --- any JSON

SPACES = st.sampled_from(["", " ", "\t", "\n\t\t", "\r\n  "])
LIBRARIES = st.sampled_from(
    [
        ("WHEELPATH", [ONE, TWO]),
        ("dbfs:/WHEELPATH", [ONE, TWO]),
        ("dbfs:/libs/my_lib-1.0-py3-none-any.whl", [ONE]),
        ("/Volumes/é/other-0.1-py3-none-any.whl", [TWO]),
    ]
)
OTHERS: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def libraries(draw: st.DrawFn) -> tuple[str, list[Any]]:
    """A marked library and what becomes of it: one for each wheel that it stands for."""
    space = draw(SPACES)
    if draw(st.integers(0, 3)) == 0:
        other = draw(st.sampled_from([{"pypi": {"package": "numpy==2"}}, {"jar": "dbfs:/x.jar"}]))
        return json.dumps(other), [other]
    path, wheels = draw(LIBRARIES)
    spelt = mark(draw(st.sampled_from([json.dumps(path), json.dumps(path).replace("W", "\\u0057")])))
    if draw(st.booleans()):
        written = [{"whl": each.uri} for each in wheels]
        return f'{GAP}{{{space}"whl"{space}:{space}{spelt}{space}}}', written
    packages = [{"pypi": {"package": entry, "x": None}} for entry in new_entries(wheels)]
    return f'{GAP}{{"pypi":{{{space}"package":{spelt} ,"x":null}}}}', packages


@st.composite
def json_texts(draw: st.DrawFn) -> tuple[str, list[Any]]:
    """A marked cluster spec in any layout, and its libraries once it is patched."""
    space, gap = draw(SPACES), draw(SPACES)
    drawn = draw(st.lists(libraries(), min_size=1, max_size=4))
    listed = f"{gap},{gap}".join(marked for marked, _ in drawn)
    cluster = json.dumps(draw(OTHERS), indent=draw(st.sampled_from([None, "\t", 2])), ensure_ascii=draw(st.booleans()))
    members = [f'"new_cluster"{space}:{space}{cluster}', f'"libraries":{space}[{gap}{listed}{gap}]']
    ordered = draw(st.permutations(members))
    head, tail = draw(st.sampled_from(["", "\ufeff"])), draw(st.sampled_from(["", "\n", "\r\n"]))
    text = f"{head}{{{space}{f'{space},{space}'.join(ordered)}{space}}}{tail}"
    return text, [library for _, written in drawn for library in written]


@given(json_texts())
def test_patching_any_json_changes_its_references_and_nothing_else(drawn: tuple[str, list[Any]]) -> None:
    marked, expected = drawn
    old = unmark(marked)
    new, _ = patch(old, role="cluster")
    was, now = json.loads(old.removeprefix("\ufeff")), json.loads(new.removeprefix("\ufeff"))
    assert now == {**was, "libraries": expected}
    assert_only_marked_places_changed(marked, new)
    assert patch(new, role="cluster")[0] == new


# --- single rules


def test_an_alias_to_a_text_outside_the_list_is_kept_and_its_text_repointed() -> None:
    text = "x: &w WHEELPATH\ndependencies:\n- pip:\n  - *w  # ours\n"
    new, _ = patch(text, deployed=[DBFS, TWO])
    assert new == (
        "x: &w other @ file:///w/it's%20new/other-1.0-py3-none-any.whl\n"
        "dependencies:\n- pip:\n  - /dbfs/w/my_lib-2.0-py3-none-any.whl\n  - *w  # ours\n"
    )


def test_a_copy_before_an_alias_is_written_for_the_place_of_the_alias() -> None:
    text = "x: &w WHEELPATH[ml]\ndependencies:\n- pip: [*w ]\n"
    new, _ = patch(text, deployed=[DBFS, DBFS._replace(distribution="core", uri="dbfs:/w/core-1-py3-none-any.whl")])
    assert new == (
        "x: &w /dbfs/w/core-1-py3-none-any.whl[ml]\n"
        'dependencies:\n- pip: ["/dbfs/w/my_lib-2.0-py3-none-any.whl[ml]", *w ]\n'
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("' WHEELPATH '", "' /dbfs/w/my_lib-2.0-py3-none-any.whl '", id="single quotes"),
        pytest.param('"\\N WHEELPATH\\n"', '"\\u0085 /dbfs/w/my_lib-2.0-py3-none-any.whl\\n"', id="escapes"),
        pytest.param("WHEELPATH[a]", "/dbfs/w/my_lib-2.0-py3-none-any.whl[a]", id="plain with brackets"),
    ],
)
def test_white_space_and_the_style_of_an_entry_are_kept(old: str, new: str) -> None:
    text = "dependencies:\n- pip:\n  - {}\n"
    assert patch(text.format(old), deployed=[DBFS])[0] == text.format(new)


def test_a_merged_or_aliased_list_is_patched_once() -> None:
    text = "a: &l [WHEELPATH]\nb: &m\n  pip: *l\ndependencies:\n- <<: *m\n- pip: *l\n"
    new, changes = patch(text, deployed=[DBFS])
    assert new == text.replace("WHEELPATH", "/dbfs/w/my_lib-2.0-py3-none-any.whl")
    assert len(changes) == 1


def test_python_env_has_its_lines_in_dependencies_and_mlproject_in_python_libraries() -> None:
    path = "/dbfs/w/my_lib-2.0-py3-none-any.whl"
    assert patch("dependencies: [WHEELPATH]\n", role="python", deployed=[DBFS])[0] == f"dependencies: [{path}]\n"
    text = "databricks_spark_job:\n  python_libraries: ['WHEELPATH']\n"
    assert patch(text, role="mlproject", deployed=[DBFS])[0] == text.replace("WHEELPATH", path)


def test_each_place_of_a_cluster_spec_gets_its_own_form() -> None:
    spec = {"libraries": [{"whl": "WHEELPATH"}, {"pypi": {"package": "my-lib @ file:///x/my_lib-1-py3-none-any.whl"}}]}
    new, _ = patch(json.dumps(spec), role="cluster", deployed=[DBFS])
    assert json.loads(new)["libraries"] == [
        {"whl": "dbfs:/w/my_lib-2.0-py3-none-any.whl"},
        {"pypi": {"package": "/dbfs/w/my_lib-2.0-py3-none-any.whl"}},
    ]


def test_extras_and_markers_are_kept_and_an_old_hash_is_not() -> None:
    entry = "/dbfs/x/my_lib-1.0-py3-none-any.whl[plots,ml] --hash=sha256:ab ; python_version > '3.8'"
    _, (change,) = patch(f"dependencies:\n- pip:\n  - {entry}\n")
    assert change.new == "my-lib[plots,ml] @ file:///w/my_lib-2.0-py3-none-any.whl ; python_version > '3.8'"


def test_a_named_placeholder_stands_for_that_distribution_alone() -> None:
    _, (change,) = patch("dependencies:\n- pip:\n  - other[x] @ file:///WHEELPATH\n")
    assert change.new == "other[x] @ file:///w/it's%20new/other-1.0-py3-none-any.whl"


def test_a_wheel_that_nobody_built_is_refused_with_its_place() -> None:
    text = "dependencies:\n- pip:\n  - /dbfs/libs/third-1.0-py3-none-any.whl\n"
    with pytest.raises(errors.BadInput, match=r"(?s)third.*nobody built.*file:3:5"):
        patch(text)


def test_a_wheel_that_is_refused_is_named_without_its_password() -> None:
    with pytest.raises(errors.BadInput, match=r"https://\*\*\*@host/third\.whl") as caught:
        patch("dependencies:\n- pip:\n  - https://ada:s3cret@host/third.whl\n")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "entry", ["https://example.com/third-1.0-py3-none-any.whl", "/there/third-1.0-py3-none-any.whl"]
)
def test_a_wheel_of_somebody_else_that_can_be_had_stays(entry: str) -> None:
    text = f"dependencies:\n- pip:\n  - {entry}\n"
    assert patch(text, reachable=["/there/third-1.0-py3-none-any.whl"]) == (text, [])


def test_a_placeholder_without_any_deployed_wheel_is_out_of_order() -> None:
    with pytest.raises(errors.OutOfOrder, match="inv deploy"):
        patch("dependencies:\n- pip: [WHEELPATH]\n", deployed=[])


@pytest.mark.parametrize(
    ("text", "place"),
    [
        pytest.param("dependencies:\n- WHEELPATH\n", "file:2:3", id="not in the pip section"),
        pytest.param("dependencies:\n- pip:\n  - -r WHEELPATH\n", "file:3:5", id="an option"),
        pytest.param("a: {WHEELPATH: 1}\n", "file:1:5", id="a key"),
        pytest.param("a: !!str &x |\n  one\n  WHEELPATH\n", "file:1:13", id="many lines"),
    ],
)
def test_a_leftover_placeholder_is_refused_with_its_place(text: str, place: str) -> None:
    assert patch(text) == (text, [])
    with pytest.raises(errors.BadInput, match=place):
        references.check_leftovers(Path("file"), text, role="conda", placeholder="WHEELPATH")


@pytest.mark.parametrize("entry", ["WHEELPATHS", "dbfs:/wheels/WHEELPATHS"])
def test_a_placeholder_with_a_letter_more_is_asked_about(entry: str) -> None:
    text = f"dependencies:\n- pip:\n  - {entry}\n"

    with pytest.raises(errors.BadInput, match=f"is WHEELPATH meant by {entry}\\?") as caught:
        references.check_leftovers(Path("file"), text, role="conda", placeholder="WHEELPATH")

    assert caught.value.where == "file:3:5"
    assert caught.value.cure == "write WHEELPATH there, or take the entry out"


@pytest.mark.parametrize(
    "entry", ["WHEELPATH", "x/WHEELPATH", "MYWHEELPATH", "WHEELPATH ; os_name != 'x'", "-r WHEELPATH"]
)
def test_the_placeholder_itself_is_no_near_miss(entry: str) -> None:
    assert not references._is_near(entry, "WHEELPATH")


def test_a_placeholder_in_a_comment_is_no_leftover() -> None:
    references.check_leftovers(Path("file"), "a: 1  # WHEELPATH\n", role="conda", placeholder="WHEELPATH")


def test_a_uri_that_no_line_can_hold_is_refused() -> None:
    odd = Deployed(distribution="my-lib", uri="/Volumes/a\u2028b/my_lib-1.0-py3-none-any.whl", sha256="")
    with pytest.raises(errors.BadInput, match="wheel_root"):
        patch("dependencies:\n- pip: [WHEELPATH]\n", deployed=[odd])
