"""What may differ from one release to the next, replaced by a word: equal things by equal words."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any
from urllib.parse import quote

KEYS = {
    *("size", "generator", "experiment_id", "job_run_id", "submitted_at", "idempotency_token"),
    *("MLFLOW_EXPERIMENT_ID", "mlflow.databricks.shellJobID", "mlflow.databricks.shellJobRunID", "mlops.version"),
}
"""Values that are another number or version in each release or on each machine."""

STABLE = {"sources", "name", "build-wheel"}
"""Digests over files and settings alone: they stay as they are, as records of earlier versions hold them."""

PATTERNS: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"\b\d{4}[/-]\d\d[/-]\d\d[ T]\d\d:\d\d:\d\d\S*", "<time>"),
    (r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "<uuid>"),
    (r"(?<![\w-])(?=[0-9a-f]{12})[0-9a-f]{12,64}(?!\w)", "<hex>"),
    (r"\b\d+(?:\.\d+)? (?:kB|bytes)\b", "<size>"),
    (r"(?<=mlops_tasks: )\S+\.py\b", "<module>"),
    (r"#job/\d+/run/\d+", "#job/<job>/run/<job run>"),
    (r"(?<=mlflow-tracking/)\d+|(?<=mlflow-experiments/)\d+|(?<=Artifacts/)\d+", "<experiment id>"),
    (r"(?<=, experiment )\d+", "<experiment id>"),
    (r"(?m)^  \d\d:\d\d(?=  [A-Z])", "  <time>"),
    (r"(?<![\d.])\d\.\d{3,}(?![\d.])", lambda found: f"{float(found[0]):.2f}"),
    (r"Python >=3\.\d+", "Python >=<python>"),
)


class Mask:
    def __init__(self, **words: str) -> None:
        python = sys.version.split()[0]
        self._words: dict[str, str] = {}
        self.add("mlflow", metadata.version("mlflow"))
        self.add("python", python)
        for word, value in words.items():
            self.add(word, value)

    def add(self, word: str, value: object) -> None:
        """From now on `value` is called `word`; the first word that it was given stays."""
        for form in {str(value), quote(str(value))} if value else ():
            self._words.setdefault(form, f"<{word.replace('_', ' ')}>")

    def learn(self, record: Mapping[str, Any]) -> None:
        """The words for what a record holds."""
        self.add("commit", record.get("commit"))
        self.add("short commit", (record.get("commit") or "")[:7])
        for wheel in record.get("wheels", ()):
            self.add(f"sha256 of {wheel['distribution']}", wheel["sha256"])
            self.add(f"sha256 of {wheel['distribution']}, 16", wheel["sha256"][:16])
            self.add(f"sha256 of {wheel['distribution']}, 12", wheel["sha256"][:12])
        for deployed in record.get("deployed", ()):
            self.add("content", deployed["uri"].split("/")[-2])
        if patched := record.get("patched"):
            self.add("staged", patched["project_dir"].split("/")[-2])
        for kind in ("run", "attempt"):
            self.add("run", record.get(kind, {}).get("run_id"))
        self.add("attempt", record.get("attempt", {}).get("id"))
        self.add("job digest", record.get("attempt", {}).get("job"))
        for step, digest in record.get("digests", {}).items():
            if step not in STABLE:
                self.add(f"digest of {step}", digest)

    def text(self, text: str) -> str:
        for form in sorted(self._words, key=len, reverse=True):
            text = re.sub(rf"(?<![0-9a-zA-Z]){re.escape(form)}(?![0-9a-zA-Z])", self._words[form], text)
        for pattern, word in PATTERNS:
            text = re.sub(pattern, word, text)
        return text

    def data(self, data: Any, key: str = "") -> Any:
        """JSON with every text in it masked, and numbers that any version of scikit-learn gives."""
        if isinstance(data, dict):
            return {self.text(name): self.data(value, name) for name, value in data.items()}
        if isinstance(data, list):
            return [self.data(value, key) for value in data]
        if key in KEYS and data is not None:
            return f"<{key.replace('_', ' ')}>"
        if isinstance(data, float):
            return round(data, 2)
        stays = not isinstance(data, str) or (key in STABLE and re.fullmatch("[0-9a-f]{64}", data))
        return data if stays else self.text(data)
