"""The refusals that several APIs share."""

from __future__ import annotations

from tests.fake_workspace.exchange import Refused


def invalid(message: str) -> Refused:
    return Refused(400, "INVALID_PARAMETER_VALUE", message)
