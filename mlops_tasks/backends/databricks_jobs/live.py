"""Show and keep what a run prints while it goes on, from the files that the driver program writes into the store."""

from __future__ import annotations

import codecs
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mlops_tasks import errors
from mlops_tasks.report import Report
from mlops_tasks.stores.base import Store
from mlops_tasks.workspace import faults

_PART = re.compile(r"(\d{6,})-(\d+)\.txt")
LATE_LOOKS = 5
"""How often the last files are looked for after the end, once a second: a store's listing may lag behind."""


class Result(NamedTuple):
    """What the driver program found: an `exit_code` (None after an exception), the `error` in one line, its `trace`."""

    exit_code: int | None
    error: str
    trace: str
    files: int
    is_whole: bool


class LiveOutput:
    """The output of the run whose files are in `folder`; it is kept in `log`, from its beginning.

    A store that cannot be read is told once, and no reason to end: the workspace has the output at the end.
    """

    def __init__(
        self,
        store: Store,
        folder: str,
        *,
        log: Path,
        report: Report,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store, self._folder, self._log, self._report, self._pause = store, folder, log, report, pause
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._line = ""
        self._has_failed = self._is_begun = False
        self.shown = 0
        """How many of the files have been shown, from the first on."""

    def look(self) -> None:
        """Show what has been printed since the last look."""
        if self._has_failed:
            return
        try:
            self._show_new()
        except faults.ApiError as fault:
            if fault.is_transient:
                self._report.debug(f"no output yet: {fault.what}")
                return
            self._has_failed = True
            self._report.detail(f"what the run prints cannot be read before its end: {fault.what}")

    def end(self) -> Result | None:
        """Show the rest; the answer is what the driver program wrote at its end, None where it wrote nothing."""
        self.look()
        result = None
        for _ in range(LATE_LOOKS):
            result = result or self._read_result()
            if self._has_failed or (result is not None and self.shown >= result.files):
                break
            if result is None and self.shown == 0:
                break  # the driver program never began
            self._pause(1)
            self.look()
        self._show("", is_last=True)
        return result

    def add(self, text: str) -> None:
        """Show and keep what the run has not printed itself."""
        self._keep(text.encode("utf-8", "replace") + b"\n")
        self._show(f"{text}\n")

    def _show_new(self) -> None:
        listed = self._store.list_files(f"{self._folder}/output")
        parts = {int(found[1]): (name, int(found[2])) for name in listed if (found := _PART.fullmatch(name))}
        while (part := parts.get(self.shown + 1)) is not None:
            name, size = part
            data = self._store.read(f"{self._folder}/output/{name}") if listed[name].size == size else b""
            if len(data) != size:
                return  # it is being written
            self._keep(data)
            self.shown += 1
            self._show(self._decoder.decode(data))

    def _show(self, text: str, *, is_last: bool = False) -> None:
        *lines, self._line = (self._line + text).split("\n")
        if is_last and self._line:
            lines, self._line = [*lines, self._line], ""
        for line in lines:
            self._report.output(line.rstrip("\r").rpartition("\r")[2])

    def _keep(self, data: bytes) -> None:
        try:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            with self._log.open("ab" if self._is_begun else "wb") as stream:
                stream.write(data)
            self._is_begun = True
        except OSError as fault:
            self._report.warning(f"the output cannot be kept in {self._log}: {fault.strerror}")

    def _read_result(self) -> Result | None:
        try:
            found = json.loads(self._store.read(f"{self._folder}/result.json"))
            output = found["output"]
            is_whole = bool(output["kept"]) and not output["truncated"]
            return Result(found["exit_code"], str(found["error"]), str(found["trace"]), int(output["files"]), is_whole)
        except (errors.WorkspaceError, ValueError, KeyError, TypeError):
            return None  # it is being written, or was never begun
