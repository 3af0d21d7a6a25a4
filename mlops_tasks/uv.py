"""Where the uv program is."""

from __future__ import annotations

from pathlib import Path

from mlops_tasks import errors


def find() -> Path:
    """The answer of uv itself, which does not depend on PATH or on what is activated."""
    import uv

    try:
        return Path(uv.find_uv_bin())
    except FileNotFoundError as fault:
        raise errors.StepFailed(
            "uv, which builds wheels and environments, is not where its package says",
            where=str(fault),
            cure="pip install --force-reinstall uv",
        ) from fault
