from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import pytest

from mlops_tasks import errors
from mlops_tasks.doctor import checklist, checks, findings
from mlops_tasks.doctor.subject import Questions
from mlops_tasks.report import Report
from tests.support import subjects

TOPICS = [each.name for each in pkgutil.iter_modules(checks.__path__, f"{checks.__name__}.")]
ERROR = findings.Evidence("seen", "a client").error("no cluster", where="cluster.json:1:1", cure="add it")
WARNING = findings.Evidence("documented", "a page").warning("old", cure="renew it")
NOTE = findings.Evidence("assumed", "nobody").note("known", cure="nothing")


class Told(Report):
    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.details: list[str] = []

    def warning(self, text: str) -> None:
        self.warnings.append(text)

    def detail(self, text: str) -> None:
        self.details.append(text)


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.split(".")[-1])
def test_every_check_is_in_the_list(topic: str) -> None:
    listed = {each.find for each in checklist.CHECKS}
    found = {value for name, value in vars(importlib.import_module(topic)).items() if name.startswith("check_")}

    assert found
    assert found <= listed


def test_what_is_sound_gives_no_finding(tmp_path: Path) -> None:
    yaml = "dependencies:\n  - python=3.12\n"
    project = subjects.SPARK_JOB.replace("    - WHEELPATH\n", "")
    subject = subjects.make(
        tmp_path, project=project, spec=subjects.NEW, yaml=yaml, mlflow=subjects.CLIENT, experiment="/Shared/x", ours={}
    )

    found = checklist.check(subject)

    assert not found.found
    assert {"runtime", "cluster spec", "libraries", "MLflow", "names", "access mode"} <= set(found.fine)
    assert set(found.unasked) == {"login", "Python", "wheels", "files", "scripts"}


def test_errors_come_first_and_their_topic_is_not_fine(tmp_path: Path) -> None:
    found = checklist.check(subjects.make(tmp_path, mlflow=subjects.CLIENT))

    levels = [each.level for each in found.found]
    assert levels[0] == "error"
    assert set(levels[1:]) == {"warning"}
    assert not {"MLflow", "runtime"} & set(found.fine)
    assert found.to_dict()["findings"][0]["level"] == "error"


def test_whoever_is_not_let_in_is_asked_nothing_more(tmp_path: Path) -> None:
    def refuse(*_: object) -> bool:
        raise errors.WorkspaceError("not let in", cure="log in")

    ask = Questions(log_in=refuse, has_volume=refuse, has_file=refuse)
    found = checklist.check(subjects.make(tmp_path, wheel_root="/Volumes/a/b/c", wheels=(subjects.WHEEL,), ask=ask))
    silent = checklist.check(subjects.make(tmp_path, wheel_root="/Volumes/a/b/c", ask=ask._replace(log_in=None)))

    assert [each.what for each in found.found if "not let in" in each.what] == ["not let in"]
    assert "could not be checked: not let in" in [each.what for each in silent.of("warning")]


def test_errors_stop_and_all_of_them_are_told() -> None:
    told = Told()

    with pytest.raises(errors.BadInput) as caught:
        checklist.insist(findings.Findings((ERROR, ERROR._replace(what="no node"), WARNING, NOTE)), told, warned=set())

    said = str(caught.value)
    assert said.startswith(
        "2 things will not work on Databricks:\n  - no cluster\n    in: cluster.json:1:1\n    do: add"
    )
    assert "  - no node\n" in said
    assert "--force" in said
    assert told.warnings == ["old: renew it [documented]"]


def test_what_was_told_is_told_once() -> None:
    told, before = Told(), {"old: renew it [documented]"}

    checklist.insist(findings.Findings((WARNING, ERROR)), told, warned=before, force=True)

    assert told.warnings == ["no cluster (cluster.json:1:1): add it [seen]"]

    checklist.insist(findings.Findings((WARNING, ERROR)), told, warned=before, force=True)

    assert len(told.warnings) == 1


def test_warnings_do_not_stop() -> None:
    told = Told()

    checklist.insist(findings.Findings((WARNING,)), told, warned=set())

    assert told.warnings == ["old: renew it [documented]"]


def test_force_tells_errors_as_warnings() -> None:
    told = Told()

    checklist.insist(findings.Findings((ERROR, WARNING)), told, warned=set(), force=True)

    assert told.warnings == ["no cluster (cluster.json:1:1): add it [seen]", "old: renew it [documented]"]
