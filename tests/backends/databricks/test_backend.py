"""What a failed submit through MLflow means: was it sent, and may it be sent again?"""

from __future__ import annotations

from typing import Any

import pytest
from databricks.sdk.errors.base import DatabricksError
from mlflow.exceptions import ExecutionException, MlflowException
from mlflow.projects import databricks as mlflows
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_EXHAUSTED, TEMPORARILY_UNAVAILABLE

from mlops_tasks.backends.databricks import backend


def of_sdk(code: str) -> TimeoutError:
    """What databricks-sdk raises once its time limit is over, the workspace's answer behind it."""
    fault = TimeoutError("Timed out after 0:00:01")
    fault.__cause__ = DatabricksError("said", error_code=code)
    return fault


LOST = MlflowException("no answer")
REFUSED = MlflowException("bad", error_code=INVALID_PARAMETER_VALUE)
THROTTLED = MlflowException("later", error_code=RESOURCE_EXHAUSTED)
SUBMIT, UPLOAD = ("run_databricks", "_jobs_runs_submit"), ("run_databricks", "_upload_project_to_dbfs")


def raised_in(functions: tuple[str, ...], fault: Exception) -> Exception:
    """`fault` as it comes out of these functions of MLflow's module, the outermost first."""
    calls: dict[str, Any] = {"__name__": backend.SUBMITTING, "fault": fault}
    inner = "raise fault.with_traceback(None)"
    for name in reversed(functions):
        exec(f"def {name}():\n    {inner}", calls)
        inner = f"{name}()"
    try:
        exec(inner, {**calls, "__name__": "mlflow.projects"})
    except type(fault) as caught:
        return caught
    raise AssertionError


@pytest.mark.parametrize(
    ("functions", "fault", "may_be_a_job", "may_pass"),
    [
        pytest.param((), LOST, False, True, id="before MLflow's backend"),
        pytest.param(UPLOAD, LOST, False, True, id="while the project was sent"),
        pytest.param(SUBMIT, LOST, True, True, id="no answer"),
        pytest.param(SUBMIT, MlflowException("x", error_code=TEMPORARILY_UNAVAILABLE), True, True, id="503"),
        pytest.param(SUBMIT, of_sdk("TEMPORARILY_UNAVAILABLE"), True, True, id="503 through databricks-sdk"),
        pytest.param(SUBMIT, ConnectionResetError("reset"), True, True, id="a broken connection"),
        pytest.param(SUBMIT, ValueError("half an answer"), True, True, id="half an answer"),
        pytest.param(("run_databricks",), KeyError("run_id"), True, True, id="an answer without an id"),
        pytest.param(("_print_description_and_log_tags",), LOST, True, True, id="after the submit"),
        pytest.param(SUBMIT, THROTTLED, False, True, id="429"),
        pytest.param(SUBMIT, of_sdk("REQUEST_LIMIT_EXCEEDED"), False, True, id="429 through databricks-sdk"),
        pytest.param(SUBMIT, REFUSED, False, False, id="a refusal"),
        pytest.param(("before_run_validations",), ExecutionException("no"), False, False, id="MLflow's own refusal"),
        pytest.param(("run_databricks",), FileNotFoundError(2, "no", "x.py"), False, False, id="a file here"),
    ],
)
def test_a_submit_is_begun_again_only_where_it_was_not_sent_or_is_refused_for_the_moment(
    functions: tuple[str, ...], fault: Exception, may_be_a_job: bool, may_pass: bool
) -> None:
    caught = raised_in(functions, fault)

    assert backend.may_have_taken_effect(caught) is may_be_a_job
    assert backend.may_pass(caught) is may_pass


def test_mlflow_still_has_the_functions_that_tell_how_far_it_was() -> None:
    """They stand on its inside, which no version promises."""
    runner = mlflows.DatabricksJobRunner

    assert mlflows.__name__ == backend.SUBMITTING
    assert all(hasattr(runner, name) for name in (*backend.UPLOADING, "_jobs_runs_submit"))
