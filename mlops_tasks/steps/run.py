"""run: what is said of a run before it begins, and how its end is judged."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mlops_tasks import __version__, errors
from mlops_tasks.release import Attempt, Deployed, Release, Run
from mlops_tasks.report import Report

LAST_WORDS = 15
"""Lines of the log that a failure shows."""
LAST_BYTES = 1 << 16


def begin_attempt(release: Release, *, job: str, host: str, experiment_id: str, entry_point: str) -> Release:
    """A release with a new attempt at what has the digest `job`, recorded before anything is sent.

    One that never got as far as a run goes on under its id.
    """
    earlier = release.attempt
    goes_on = earlier is not None and not earlier.ended and earlier.run_id is None
    attempt = Attempt(
        id=earlier.id if earlier is not None and goes_on else uuid.uuid4().hex,
        job=job,
        host=host,
        experiment_id=experiment_id,
        entry_point=entry_point,
    )
    return replace(release, attempt=attempt, run=None)


def run_tags(release: Release, *, ci_url: str, entry_point: str, user: str, tags: Mapping[str, str]) -> dict[str, str]:
    """What is known of the release, as tags of its run; the user's own `tags` win."""
    facts = {
        "mlflow.user": user,
        "mlflow.source.name": release.project,
        "mlflow.source.type": "PROJECT",
        "mlflow.project.entryPoint": entry_point,
        "mlflow.source.git.branch": release.branch,
        "mlflow.source.git.commit": release.commit or "",
        "mlops.branch": release.branch,
        "mlops.commit": release.commit or "",
        "mlops.dirty": "" if release.dirty is None else str(release.dirty).lower(),
        "mlops.attempt": release.attempt.id if release.attempt else "",
        "mlops.ci_url": ci_url,
        "mlops.version": __version__,
        **_wheel_tags(release.deployed or ()),
    }
    return {**{key: _encodable(value) for key, value in facts.items() if value}, **tags}


def judge(run: Run, *, timeout: float | None, log: Path, report: Report) -> None:
    """Say how the run ended; RunFailed unless it finished, with the log's place and, where unseen, its last words.

    `timeout` is what the run was given, in seconds.
    """
    if run.status == "FINISHED":
        report.step("run", _describe(run))
        return
    raise errors.RunFailed(
        f"run {run.run_id} ended {run.status}{'' if report.shows_output else _last_words(log)}",
        where=log if log.exists() else run.url,
        cure=_cure(run, timeout, "the log" if log.exists() else "that page"),
    )


def _cure(run: Run, timeout: float | None, told_by: str) -> str:
    """Nothing is wrong with what was stopped."""
    if run.status != "KILLED":
        return f"mend what {told_by} shows, then `inv release` (or `inv run`, if only parameters were wrong)"
    if timeout is None or not run.timed_out:
        return "`inv run` begins another"
    return (
        f"`inv run` begins another; `--timeout SECONDS` or the setting `timeout` gives it more time than {timeout:g} s"
    )


def _describe(run: Run) -> str:
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in list(run.metrics.items())[:4])
    return f"{run.status} {run.run_id}" + (f" ({metrics})" if metrics else "") + (f"\n{run.url}" if run.url else "")


def _last_words(log: Path) -> str:
    if not log.exists():
        return ""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - LAST_BYTES))
        lines = stream.read().decode("utf-8", "replace").rstrip().splitlines()
    return "".join(["; its last words:", *(f"\n  | {line}" for line in lines[-LAST_WORDS:])]) if lines else ""


def _encodable(text: str) -> str:
    """Git takes any bytes for a branch's name, and no tracking store does."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _wheel_tags(deployed: tuple[Deployed, ...]) -> dict[str, str]:
    return {f"mlops.wheel.{each.distribution}": f"{Path(each.uri).name} sha256:{each.sha256}" for each in deployed}
