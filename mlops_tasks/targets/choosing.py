"""Choose a target by its name: the only module that knows which targets there are."""

from __future__ import annotations

from collections.abc import Mapping

from mlops_tasks import processes, state
from mlops_tasks.report import Report
from mlops_tasks.targets.base import Target


def choose(
    name: str,
    *,
    places: state.StateFolder,
    environ: Mapping[str, str],
    run: processes.Runner,
    profile: str | None,
    report: Report,
    environment: str,
) -> Target:
    """The target called `name`, which reports call by the name of the environment."""
    if name == "databricks":
        from mlops_tasks.targets import databricks

        return databricks.DatabricksTarget(
            profile=profile, environ=environ, run=run, report=report, display_name=environment
        )
    from mlops_tasks.targets import local

    return local.LocalTarget(places=places, environ=environ, run=run, report=report, display_name=environment)
