"""Entry points: what they can be run with, told before anything runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlops_tasks import errors
from mlops_tasks.project import entry_points, mlproject
from tests.support.projects import write


def test_parameters_are_completed_with_defaults_as_text(tmp_path: Path) -> None:
    project = mlproject.load(write(tmp_path))
    found = entry_points.resolve(project, "main", {"alpha": "0.1", "seed": "8"})
    assert found == {"alpha": "0.1", "data": "data.csv", "seed": "8"}
    assert entry_points.resolve(project, "main", {"alpha": "1"})["seed"] == "7"


def test_a_script_takes_any_parameters(tmp_path: Path) -> None:
    assert entry_points.resolve(mlproject.load(write(tmp_path)), "train.py", {"x": "1"}) == {"x": "1"}


@pytest.mark.parametrize(
    ("entry_point", "parameters", "said"),
    [
        pytest.param("main", {}, "pass -P alpha=", id="missing"),
        pytest.param("main", {"alpha": "1", "sed": "2"}, "did you mean seed", id="unknown parameter"),
        pytest.param("main", {"alpha": "abc"}, "alpha is a float, and 'abc' is no number", id="no number"),
        pytest.param("mian", {}, "main, check; did you mean main", id="unknown entry point"),
        pytest.param("none.py", {}, "neither an entry point nor a file", id="no such script"),
    ],
)
def test_what_an_entry_point_cannot_take_is_refused(
    tmp_path: Path, entry_point: str, parameters: dict[str, str], said: str
) -> None:
    with pytest.raises(errors.BadInput, match=said):
        entry_points.resolve(mlproject.load(write(tmp_path)), entry_point, parameters)


def test_a_spark_job_with_a_python_file_takes_no_parameters(tmp_path: Path) -> None:
    project = mlproject.load(write(tmp_path, "databricks_spark_job: {python_file: a.py}\n", **{"a.py": ""}))
    assert entry_points.resolve(project, "main", {}) == {}
    with pytest.raises(errors.BadInput, match=r"a\.py.*alpha would be ignored"):
        entry_points.resolve(project, "main", {"alpha": "1"})
    with pytest.raises(errors.BadInput, match=r"(?s)check would be ignored.*leave `--entry-point` out"):
        entry_points.resolve(project, "check", {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("entry_points: {main: {command: python trian.py --x 1}}\n", "main: command runs trian.py, which is no file"),
        ("databricks_spark_job: {python_file: trian.py}\n", "python_file runs trian.py, which is no file"),
        ('databricks_spark_job: {python_file: "dbfs:/train.py"}\n', "python_file runs dbfs:/train.py, which is no"),
    ],
)
def test_a_script_that_is_not_there_is_said(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(errors.BadInput, match=re.escape(said)):
        entry_points.resolve(mlproject.load(write(tmp_path, text)), "main", {})


@pytest.mark.parametrize(
    "command",
    [
        "cd src && python x.py",
        "python $CODE/x.py",
        "python ~/x.py",
        "python3 `pwd`/x.py",
        "python -m package",
        "python {{data}}.py",
        "python",
        "it's",
        "python /abs/x.py",
    ],
)
def test_a_command_that_begins_otherwise_is_left_to_the_shell(tmp_path: Path, command: str) -> None:
    project = mlproject.load(write(tmp_path, f'entry_points: {{main: {{command: "{command}"}}}}\n'))

    assert entry_points.resolve(project, "main", {}) == {}


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("python x.py {alpha:d}", "cannot be formatted: Unknown format code 'd'"),
        ("python x.py {alpha:>{w}}", "cannot be formatted: 'w'"),
        ("python x.py {1}", "cannot be formatted: "),
        ("python x.py {beta}", "uses {beta}, which is none of its parameters"),
        ("python x.py {}", "uses {}, which is none"),
        ("awk '{print' x", "cannot be formatted: expected '}' before end of string"),
    ],
)
def test_a_command_that_mlflow_could_not_format_is_refused(tmp_path: Path, command: str, said: str) -> None:
    parameters = "{alpha: {default: x}, '1': {default: x}}"
    text = f'entry_points: {{main: {{command: "{command}", parameters: {parameters}}}}}\n'

    with pytest.raises(errors.BadInput, match=re.escape(said)) as caught:
        entry_points.resolve(mlproject.load(write(tmp_path, text)), "main", {})
    assert "twice" in caught.value.cure


@pytest.mark.parametrize("placeholder", ["{data!r}", "{data:>9}"])
def test_a_path_that_is_formed_by_the_command_is_refused(tmp_path: Path, placeholder: str) -> None:
    text = f'entry_points: {{main: {{command: "cat {placeholder}", parameters: {{data: path}}}}}}\n'

    with pytest.raises(errors.BadInput, match=r"formats the path \{data\}"):
        entry_points.resolve(mlproject.load(write(tmp_path, text)), "main", {"data": "x"})


@pytest.mark.parametrize(
    ("kind", "value", "is_fine"),
    [
        ("uri", "s3://bucket/x", True),
        ("uri", "bucket/x", False),
        ("uri", "http://[x", False),
        ("path", "data/x", True),
        ("path", "http://[x", False),
        ("string", "http://[x", True),
    ],
)
def test_a_uri_that_is_none_is_refused(tmp_path: Path, kind: str, value: str, is_fine: bool) -> None:
    text = f'entry_points: {{main: {{command: "cat {{data}}", parameters: {{data: {kind}}}}}}}\n'
    project = mlproject.load(write(tmp_path, text))

    if is_fine:
        assert entry_points.resolve(project, "main", {"data": value}) == {"data": value}
    else:
        with pytest.raises(errors.BadInput, match="the parameter data is a URI, and"):
            entry_points.resolve(project, "main", {"data": value})


def test_a_spark_jobs_command_that_runs_no_python_file_is_refused_wherever_it_is_to_run(tmp_path: Path) -> None:
    text = 'databricks_spark_job: {}\nentry_points: {main: {command: "python -m train"}, ok: {command: python a.py}}\n'
    project = mlproject.load(write(tmp_path, text, **{"a.py": ""}))

    with pytest.raises(errors.BadInput, match=r"(?s)main begins with `python -m`.*MLproject.*runpy"):
        entry_points.resolve(project, "main", {})
    assert entry_points.resolve(project, "ok", {}) == {}


def test_a_spark_job_runs_a_python_script_as_well_and_no_other(tmp_path: Path) -> None:
    text = "databricks_spark_job: {}\nentry_points: {main: {command: python a.py}}\n"
    project = mlproject.load(write(tmp_path, text, **{"a.py": "", "b.sh": ""}))

    assert entry_points.resolve(project, "a.py", {"x": "1"}) == {"x": "1"}
    with pytest.raises(errors.BadInput, match=r"no entry point 'b\.sh'"):
        entry_points.resolve(project, "b.sh", {})


def test_undeclared_parameters_come_after_the_declared_ones(tmp_path: Path) -> None:
    project = mlproject.load(write(tmp_path))
    assert list(entry_points.resolve(project, "main", {"depth": "7", "alpha": "1"})) == [
        "alpha",
        "data",
        "seed",
        "depth",
    ]
    assert entry_points.resolve(project, "check", {"a": "1"}) == {"a": "1"}
    assert entry_points.find_undeclared(project, "main", ["depth", "alpha"]) == ["depth"]


def test_a_name_beside_the_parameter_that_it_resembles_is_a_name_of_its_own(tmp_path: Path) -> None:
    project = mlproject.load(write(tmp_path))
    assert entry_points.resolve(project, "main", {"seed": "1", "seeds": "2", "alpha": "1"})["seeds"] == "2"


@pytest.mark.parametrize(("declared", "near"), [("flot", "float"), ("pth", "path"), ("strng", "string")])
def test_a_misspelt_type_is_asked_about(tmp_path: Path, declared: str, near: str) -> None:
    text = f"entry_points: {{main: {{command: a, parameters: {{c: {declared}}}}}}}\n"
    with pytest.raises(errors.BadInput, match=f"c has the type '{declared}'; did you mean {near}"):
        entry_points.resolve(mlproject.load(write(tmp_path, text)), "main", {"c": "1"})


@pytest.mark.parametrize("declared", ["int", "str", "bool", "integer", "number", "list"])
def test_a_word_of_the_authors_own_is_a_string_as_it_is_to_mlflow(tmp_path: Path, declared: str) -> None:
    text = f"entry_points: {{main: {{command: a, parameters: {{c: {declared}}}}}}}\n"
    assert entry_points.resolve(mlproject.load(write(tmp_path, text)), "main", {"c": "1"}) == {"c": "1"}


def test_a_default_may_be_no_number_and_then_a_value_may_be_none_too(tmp_path: Path) -> None:
    text = "entry_points: {main: {command: a, parameters: {c: {type: float, default: None}}}}\n"
    project = mlproject.load(write(tmp_path, text))
    assert entry_points.resolve(project, "main", {}) == {"c": "None"}
    assert entry_points.resolve(project, "main", {"c": "auto"}) == {"c": "auto"}


def test_an_entry_point_without_a_command_is_minded_only_where_it_is_run(tmp_path: Path) -> None:
    text = "entry_points: {main: {command: a}, other: {parameters: {a: string}}}\n"
    project = mlproject.load(write(tmp_path, text))
    assert entry_points.resolve(project, "main", {}) == {}
    with pytest.raises(errors.BadInput, match="entry_points: other has no command"):
        entry_points.resolve(project, "other", {"a": "1"})
