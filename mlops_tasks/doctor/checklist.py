"""The list of all checks, in their order: what will not work on Databricks, found before anything is sent there."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple, get_args

from mlops_tasks import errors
from mlops_tasks.doctor.checks import cluster, jobs, libraries, mlflow, project, runtime, wheels, workspace
from mlops_tasks.doctor.findings import WORKSPACE, Finding, Findings, Level
from mlops_tasks.doctor.subject import Questions, Subject
from mlops_tasks.report import Report


class Check(NamedTuple):
    """One check of a topic. Without the parts of the Subject named in `needs` it is not made."""

    topic: str
    find: Callable[[Subject], Iterable[Finding]]
    needs: tuple[str, ...] = ()


CHECKS = (
    Check("login", workspace.check_login, needs=("ask.log_in",)),
    Check("project form", project.check_readable),
    Check("project form", project.check_kind, needs=("project", "cluster")),
    Check("project form", project.check_commands, needs=("project",)),
    Check("project form", project.check_misspelt, needs=("project",)),
    Check("project form", project.check_wheels_named, needs=("project", "ours")),
    Check("cluster spec", cluster.check_there, needs=("project",)),
    Check("cluster spec", jobs.check_compute),
    Check("cluster spec", jobs.check_existing, needs=("compute", "ask.cluster")),
    Check("cluster spec", cluster.check_new_cluster, needs=("cluster",)),
    Check("cluster spec", cluster.check_complete, needs=("cluster",)),
    Check("cluster spec", cluster.check_single_node, needs=("cluster",)),
    Check("cluster spec", cluster.check_photon, needs=("cluster",)),
    Check("cluster spec", cluster.check_dropped, needs=("cluster",)),
    Check("cluster spec", cluster.check_form, needs=("cluster", "project")),
    Check("cluster spec", cluster.check_node_types, needs=("cluster", "ask.node_types")),
    Check("cluster spec", cluster.check_exported, needs=("cluster",)),
    Check("runtime", runtime.check_name, needs=("cluster",)),
    Check("runtime", runtime.check_offered, needs=("cluster",)),
    Check("runtime", runtime.check_known, needs=("cluster",)),
    Check("runtime", runtime.check_supported, needs=("cluster",)),
    Check("runtime", jobs.check_runs, needs=("compute",)),
    Check("runtime", jobs.check_environment, needs=("compute",)),
    Check("Python", runtime.check_python_alive, needs=("environment",)),
    Check("Python", runtime.check_python_fits, needs=("environment", "cluster")),
    Check("access mode", cluster.check_dbfs_mount, needs=("cluster",)),
    Check("access mode", cluster.check_machine_learning, needs=("cluster",)),
    Check("access mode", cluster.check_volumes, needs=("cluster",)),
    Check("access mode", cluster.check_workspace_files, needs=("cluster",)),
    Check("access mode", jobs.check_root, needs=("compute",)),
    Check("access mode", jobs.check_readable, needs=("compute",)),
    Check("libraries", jobs.check_dependencies, needs=("compute",)),
    Check("libraries", libraries.check_dbfs, needs=("cluster",)),
    Check("libraries", libraries.check_spark_job_kinds, needs=("cluster", "project")),
    Check("libraries", libraries.check_spark_job_dbfs, needs=("cluster", "project")),
    Check("libraries", libraries.check_workspace_wheels, needs=("cluster",)),
    Check("libraries", libraries.check_eggs, needs=("cluster",)),
    Check("libraries", libraries.check_requirements, needs=("cluster",)),
    Check("libraries", libraries.check_schemes, needs=("cluster",)),
    Check("libraries", libraries.check_wheel_packages, needs=("project",)),
    Check("libraries", libraries.check_fixed, needs=("project",)),
    Check("libraries", libraries.check_there, needs=("project", "wheels", "ask.has_file")),
    Check("MLflow", mlflow.check_runtime_fits, needs=("mlflow", "cluster", "project")),
    Check("MLflow", mlflow.check_environment_fits, needs=("mlflow", "environment")),
    Check("MLflow", mlflow.check_pin, needs=("mlflow", "environment")),
    Check("MLflow", mlflow.check_spark_job_has_it, needs=("scripts", "cluster", "project")),
    Check("wheels", wheels.check_requires_python, needs=("wheels",)),
    Check("wheels", wheels.check_tags, needs=("wheels",)),
    Check("wheels", wheels.check_compiles, needs=("wheels",)),
    Check("wheels", jobs.check_workers, needs=("wheels", "compute")),
    Check("wheels", wheels.check_version_moves, needs=("wheels", "cluster")),
    Check("names", workspace.check_experiment, needs=("experiment",)),
    Check("names", workspace.check_wheel_root),
    Check("files", project.check_missing, needs=("missing",)),
    Check("scripts", project.check_tracking, needs=("scripts",)),
    Check("scripts", project.check_downloads, needs=("scripts",)),
    Check("scripts", project.check_model_names, needs=("scripts",)),
)


def check(subject: Subject) -> Findings:
    """Everything that the checks find, errors first, and the topics that were fine or had nothing to look at.

    The answer follows from `subject` alone, and from what the workspace says to `subject.ask`.
    """
    found: dict[str, list[Finding]] = {}
    for each in CHECKS:
        if all(operator.attrgetter(name)(subject) for name in each.needs):
            found.setdefault(each.topic, []).extend(_apply(each, subject))
        if each.topic == "login" and found.get("login"):
            subject = replace(subject, ask=Questions())  # a failed login gets no other answer either
    everything = (finding for findings in found.values() for finding in findings)
    return Findings(
        found=tuple(sorted(everything, key=lambda each: get_args(Level).index(each.level))),
        fine=tuple(topic for topic, findings in found.items() if not findings),
        backend=subject.backend,
        reason=subject.reason,
        unasked=tuple(dict.fromkeys(each.topic for each in CHECKS if each.topic not in found)),
    )


def insist(findings: Findings, report: Report, *, warned: set[str], force: bool = False) -> None:
    """Report what was found, but for the lines in `warned`; raise all errors as one BadInput.

    With `force` errors are reported like warnings.
    """
    for finding in findings.of("note"):
        report.debug(_one_line(finding))
    for finding in [*(findings.of("error") if force else ()), *findings.of("warning")]:
        line = _one_line(finding)
        if line not in warned:
            report.warning(line)
        warned.add(line)
    wrong = findings.of("error")
    if wrong and not force:
        count = f"{len(wrong)} thing{'s' if len(wrong) > 1 else ''}"
        listed = ("  - " + str(finding).replace("\n", "\n    ") for finding in wrong)
        raise errors.BadInput(
            "\n".join([f"{count} will not work on Databricks:", *listed]),
            cure="`inv doctor` shows all of it; --force continues in spite of it",
        )


def _apply(each: Check, subject: Subject) -> list[Finding]:
    """What the check finds; a workspace that gives no answer is a finding too."""
    try:
        return list(each.find(subject))
    except errors.WorkspaceError as fault:
        return [WORKSPACE.warning(f"could not be checked: {fault.what}", where=fault.where, cure=fault.cure)]


def _one_line(finding: Finding) -> str:
    where = f" ({finding.where})" if finding.where else ""
    return f"{finding.what}{where}: {finding.cure} [{finding.basis}]"
