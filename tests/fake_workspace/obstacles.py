"""Obstacle: an error that ends a run before its task begins."""

from __future__ import annotations

from typing import ClassVar


class Obstacle(Exception):
    """Its text is the run's message, its `code` one of the API's termination codes."""

    code: ClassVar[str]
