"""The tags of a run: the facts of its release."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mlops_tasks import __version__
from mlops_tasks.release import Release

OWN = "mlops."
"""How the names of this package's own tags begin."""


def describe(release: Release, *, ci_url: str, entry_point: str, user: str, tags: Mapping[str, str]) -> dict[str, str]:
    """The facts of the release as tags of its run; the user's own `tags` win."""
    facts = {
        "mlflow.user": user,
        "mlflow.source.name": release.project,
        "mlflow.source.type": "PROJECT",
        "mlflow.project.entryPoint": entry_point,
        "mlflow.source.git.branch": release.branch,
        "mlflow.source.git.commit": release.commit or "",
        "mlops.branch": release.branch,
        "mlops.commit": release.commit or "",
        "mlops.environment": release.environment or "",
        "mlops.dirty": "" if release.dirty is None else str(release.dirty).lower(),
        "mlops.attempt": release.attempt.id if release.attempt else "",
        "mlops.sweep": release.attempt.sweep if release.attempt else "",
        "mlops.ci_url": ci_url,
        "mlops.version": __version__,
        **{
            f"mlops.wheel.{each.distribution}": f"{Path(each.uri).name} sha256:{each.sha256}"
            for each in release.deployed or ()
        },
    }
    # git takes any bytes for a branch's name, and no tracking store does
    known = {key: value.encode("utf-8", "backslashreplace").decode("utf-8") for key, value in facts.items() if value}
    return {**known, **tags}
