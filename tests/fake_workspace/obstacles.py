"""What goes wrong before a task has begun, and what the end of its run is then called."""

from __future__ import annotations

from typing import ClassVar


class Obstacle(Exception):
    """Its text is the run's message, its `code` one of the API's termination codes."""

    code: ClassVar[str]
