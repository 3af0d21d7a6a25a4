from __future__ import annotations

from pathlib import Path

import pytest

from mlops_tasks import report
from mlops_tasks.backends.local import environment
from mlops_tasks.project import mlproject


def test_the_running_mlflow_is_added_where_the_project_asks_for_none() -> None:
    lines, constraints, same = environment.pin_mlflow(["numpy"], "3.17.2")

    assert lines == ["numpy", "mlflow==3.17.2"]
    assert "mlflow==3.17.2" in constraints
    assert same


@pytest.mark.parametrize("line", ["mlflow", "mlflow>=2.17", "mlflow-skinny", "mlflow[extras]>=2; python_version>'3'"])
def test_the_running_mlflow_is_kept_where_the_project_allows_it(line: str) -> None:
    lines, constraints, same = environment.pin_mlflow([line], "3.17.2")

    assert (lines, same) == ([line], True)
    assert constraints == ["mlflow==3.17.2", "mlflow-skinny==3.17.2"]


@pytest.mark.parametrize(
    "line", ["mlflow==2.17.2", "mlflow<3", "mlflow @ https://example.com/mlflow-1-py3-none-any.whl"]
)
def test_a_project_that_pins_another_mlflow_gets_that_one(line: str) -> None:
    assert environment.pin_mlflow([line], "3.17.2") == ([line], [], False)


@pytest.mark.parametrize(
    ("script", "libraries", "has_spark"),
    [
        pytest.param("from pyspark.sql import functions\n", "[numpy]", True, id="imported"),
        pytest.param("import pyspark_helpers\n# import pyspark\n", "[numpy]", False, id="not imported"),
        pytest.param("import pyspark\n", "[numpy, pyspark==3.5.1]", False, id="named by the project itself"),
    ],
)
def test_a_spark_job_that_imports_pyspark_has_it_as_on_a_cluster(
    tmp_path: Path, script: str, libraries: str, has_spark: bool
) -> None:
    (tmp_path / "job.py").write_text(script)
    (tmp_path / "MLproject").write_text(
        f"name: p\ndatabricks_spark_job: {{python_file: job.py, python_libraries: {libraries}}}\n"
    )

    lines = environment.read_lines(mlproject.load(tmp_path), report=report.Report())

    assert ("pyspark" in lines) is has_spark
    assert "numpy" in lines
