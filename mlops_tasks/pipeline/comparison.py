"""A run beside others: what differs between them, and their metrics, as a table, as Markdown or as data."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, NamedTuple

from mlops_tasks import errors, markdown
from mlops_tasks.pipeline.history import BRANCH, ENTRY_POINT, PROJECT, History
from mlops_tasks.release import Checked
from mlops_tasks.settings import gates
from mlops_tasks.settings.gates import Gate
from mlops_tasks.steps.context import Context
from mlops_tasks.tracking.client import PastRun

EARLIER = 3
"""How many earlier runs stand beside a run: more do not fit on 80 columns."""
CELL, NAME = 15, 40
"""Characters of a value, and of the name of a parameter or metric, in the table."""
LONGEST = 100
"""Characters of a value in Markdown."""
ROOM = 50_000
"""Bytes of a table in Markdown: a comment on GitHub has 65,536 at most, with the gates."""
WHEEL = "mlops.wheel."
MADE_UP = re.compile(r"[a-z]+-[a-z]+-\d+")
"""The names that MLflow gives to runs without one, such as bold-owl-12."""
WHEEL_FILE = re.compile(r"[^-]+-([^-]+)-.+\.whl")
"""A wheel's file, with its version."""
NUMBER = re.compile(r"[+-]?(0|[1-9][0-9]*)(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?")
"""A parameter that is a number, so that 1.0 is 1; with zeros at its beginning it is a code, or a date."""
SMALLEST = 0.00005
"""The share from which a change is shown as a percentage."""
KINDS = ("parameter", "fact", "wheel", "metric")
"""The order of rows."""
LARGEST = 1e300
"""From here on a value is not drawn: SQL stores keep infinity as the largest number, and no axis holds that."""
BEST = "*"
"""What marks the best value of a metric in the table; in Markdown it is bold."""
MEANING = "the best value, by the gates"


class Row(NamedTuple):
    """A fact of each run, by its kind (one of KINDS) and name; `texts` are empty for a run that has none.

    `change` is what a metric has changed by against the baseline, None where that is not known. `best` are the places
    of its best runs, all that are shown as the best one is; none where all are alike, or no direction is known.
    """

    kind: str
    name: str
    texts: tuple[str, ...]
    change: float | None = None
    best: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """`runs` begin with the one that is compared; `labels` are what they are called.

    From `earlier_from` on they are the branch's earlier ones, the newest first; those between are others. Metrics
    change against the run at `baseline`. `directions` say of a metric whether a high (1) or a low value (-1) is better,
    `metrics` which ones to show, empty for all.
    """

    runs: Sequence[PastRun]
    labels: Sequence[str]
    baseline: int | None = None
    directions: Mapping[str, int]
    metrics: Sequence[str] = ()
    earlier_from: int = 1

    @property
    def rows(self) -> list[Row]:
        """The facts in which the runs differ, then all metrics."""
        return [*_differing(self.runs), *(self._metric(name) for name in self.metric_names)]

    @property
    def metric_names(self) -> list[str]:
        logged = sorted({name for each in self.runs for name in each.metrics})
        return [name for name in logged if not self.metrics or name in self.metrics]

    def _metric(self, name: str) -> Row:
        values = [each.metrics.get(name, math.nan) for each in self.runs]
        texts = tuple(_number(each.metrics[name]) if name in each.metrics else "" for each in self.runs)
        before = math.nan if self.baseline is None else values[self.baseline]
        change = values[0] - before if math.isfinite(values[0] - before) else None
        return Row("metric", name, texts, change=change, best=_find_best(values, self.directions.get(name, 0)))

    def show_change(self, row: Row) -> str:
        """`↑ +1.2%`, `=` for two that are shown alike; empty where nothing is known.

        The arrow stands alone where a percentage has no meaning.
        """
        if row.change is None or self.baseline is None:
            return ""
        if row.texts[0] == row.texts[self.baseline]:
            return "="
        arrow, share = "↑" if row.change > 0 else "↓", self.share_of(row)
        return f"{arrow} {_percent(share)}" if share and abs(share) >= SMALLEST else arrow

    def share_of(self, row: Row) -> float | None:
        """A metric's change as a share of what it was; None where that is not known, or was 0."""
        if row.change is None or self.baseline is None:
            return None
        before = abs(self.runs[self.baseline].metrics[row.name])
        share = row.change / before if before else math.inf
        return share if math.isfinite(share) else None


def _number(value: float) -> str:
    return f"{value:.4g}"


def _find_best(values: Sequence[float], direction: int) -> tuple[int, ...]:
    """The places of the best of several numbers and of all that are shown as that is, the best one first.

    There are none where all are shown alike, as one alone is, and where no direction is known.
    """
    known = [place for place, value in enumerate(values) if not math.isnan(value)]
    ranked = sorted(known, key=lambda place: -direction * values[place])
    best = tuple(place for place in ranked if _number(values[place]) == _number(values[ranked[0]]))
    return best if direction and len(best) < len(known) else ()


def _percent(share: float) -> str:
    size = abs(share) * 100
    digits = 0 if size >= 10 else 1 if size >= 1 else 2  # noqa: PLR2004 - three digits at most are of interest
    return f"{share * 100:+.{digits}f}%" if size < 1000 else f">{'+' if share > 0 else '-'}999%"  # noqa: PLR2004


def beside(history: History, *, last: int = EARLIER, others: Sequence[tuple[str, PastRun]] = ()) -> Comparison:
    """The history's run beside the default branch's last one, the `others`, and the branch's `last` earlier ones.

    `others` are labels and runs.
    """
    context, this = history.context, history.this
    chosen: dict[str, tuple[str, PastRun]] = {this.run_id: ("this run", this)}
    if history.branch != context.default_branch and history.main is not None:
        chosen[history.main.run_id] = (context.default_branch, history.main)
    for label, run in others:
        chosen.setdefault(run.run_id, (label, run))
    baseline, earlier_from = 1 if len(chosen) > 1 else None, len(chosen)
    for run in history.earlier(last):
        chosen.setdefault(run.run_id, (run.run_id[:8], run))
    labels, runs = zip(*chosen.values(), strict=True)
    if baseline is None:
        baseline = next((place for place, run in enumerate(runs) if place and run.status == "FINISHED"), None)
    return Comparison(
        runs=runs,
        labels=labels,
        baseline=baseline,
        directions=directions_of(context.settings.require),
        earlier_from=earlier_from,
    )


def directions_of(required: Sequence[Gate]) -> dict[str, int]:
    """By metric, whether the gates want a high value or a low one; without a metric that is to stay between two."""
    wanted: dict[str, set[int]] = {}
    for each in required:
        wanted.setdefault(each.metric, set()).update({each.direction} - {0})
    return {metric: found.pop() for metric, found in wanted.items() if len(found) == 1}


def show(history: History) -> None:
    """Report the table of the run beside the others. Nothing is shown of the first run, whose metrics were shown."""
    found = beside(history)
    if len(found.runs) > 1:
        report_table(history.context, found)


def report_table(context: Context, found: Comparison) -> None:
    """Report the table; on a narrow screen its last columns are left out."""
    columns, rows = ["", *(_cell(each, CELL) for each in found.labels)], found.rows
    context.report.table("", columns, [_cells(found, each) for each in rows], numbers=True)
    if any(each.best for each in rows):
        context.report.text(f"{BEST} {MEANING}")


def narrow(found: Comparison, metrics: Sequence[str]) -> Comparison:
    """The comparison with these metrics alone, all of them without any; BadInput for one that no run has logged."""
    for name in metrics:
        if name not in found.metric_names:
            near = gates.name_near(name, found.metric_names)
            logged = f"logged are: {', '.join(found.metric_names)}" if found.metric_names else "none of them logged any"
            raise errors.BadInput(
                f"no run here has logged a metric {name}",
                where="--metric",
                cure=f"did you mean {near}?" if near else logged,
            )
    return replace(found, metrics=tuple(metrics))


class Panel(NamedTuple):
    """A metric of the branch's runs, the oldest first, and of the others (`levels`); NaN where none was logged.

    `said` is the value of the last run and how it changed, `best` the places of the best values.
    """

    metric: str
    values: tuple[float, ...]
    levels: tuple[float, ...]
    said: str
    best: tuple[int, ...]


class Picture(NamedTuple):
    """What is drawn: a panel for each metric. `runs` name the branch's runs, `levels` the others.

    `undrawn` are metrics of which no run of the branch has a number that an axis holds.
    """

    title: str
    branch: str
    runs: tuple[str, ...]
    levels: tuple[str, ...]
    panels: tuple[Panel, ...]
    undrawn: tuple[str, ...] = ()


def to_picture(found: Comparison) -> Picture:
    """What there is to draw: every metric that is a number somewhere on the branch. OutOfOrder where there is none."""
    own = (*reversed(found.runs[found.earlier_from :]), found.runs[0])
    panels = [_panel(found, row, own) for row in found.rows if row.kind == "metric"]
    drawn = tuple(each for each in panels if any(map(math.isfinite, each.values)))
    tags = found.runs[0].tags
    branch, project = tags.get(BRANCH, ""), tags.get(PROJECT, "")
    if not drawn:
        raise errors.OutOfOrder(
            f"there is nothing to draw: no run of {branch} that is compared has logged a metric that is a number",
            where="--plot",
            cure="log one with mlflow.log_metric in the entry point, then `inv run`",
        )
    return Picture(
        title=f"{project} on {branch}",
        branch=branch,
        runs=tuple(each.run_id[:8] for each in own),
        levels=tuple(found.labels[1 : found.earlier_from]),
        panels=drawn,
        undrawn=tuple(each.metric for each in panels if each not in drawn),
    )


def _panel(found: Comparison, row: Row, own: Sequence[PastRun]) -> Panel:
    values = [_finite(each.metrics.get(row.name)) for each in own]
    lacking = sum(not math.isfinite(value) for value in values)
    said = [f"{row.texts[0] or 'not logged'} {found.show_change(row)}".strip()]
    said += [f"{lacking} of {len(values)} without a number"] if lacking else []
    return Panel(
        metric=row.name,
        values=tuple(values),
        levels=tuple(_finite(each.metrics.get(row.name)) for each in found.runs[1 : found.earlier_from]),
        said=", ".join(said),
        best=_find_best(values, found.directions.get(row.name, 0)),
    )


def _finite(value: float | None) -> float:
    return value if value is not None and abs(value) < LARGEST else math.nan


def to_markdown(found: Comparison, *, checked: Sequence[Checked] = (), url: str = "") -> str:
    """The comparison as a comment on a pull request: the table, the gates, a link to the run's page at `url`.

    What anybody else has named or logged stands there as code, in which Markdown reads nothing.
    """
    this = found.runs[0]
    title = f"{markdown.code(this.tags.get(PROJECT, '') or '-')} on {markdown.code(this.tags.get(BRANCH, '') or '-')}"
    labels = [found.labels[0], *map(markdown.cell, found.labels[1:])]
    lines = [f"### {title}", "", _line(["", *labels]), _line(["---"] + ["---:"] * len(labels))]
    facts = found.rows
    rows = [_markdown_row(found, each) for each in facts]
    kept = sum(size <= ROOM for size in itertools.accumulate(len(each.encode()) for each in rows))
    lines += rows[:kept]
    if kept < len(rows) or not rows:
        said = f"{len(rows) - kept} more in `inv compare`" if rows else "nothing differs"
        lines.append(_line([said, *[""] * len(labels)]))
    if any(each.best for each in facts[:kept]):
        lines += ["", f"**bold**: {MEANING}"]
    gate_lines = [
        f"- {'met' if each.met else '**not met**'}: {markdown.code(each.gate)}, {markdown.code(each.because)}"
        for each in checked
    ]
    page = markdown.link(f"Run {this.run_id[:8]}", url or this.url)
    return "\n".join([*lines, "", *gate_lines, *([""] if gate_lines else []), f"{page}: {this.status}", ""])


def _markdown_row(found: Comparison, row: Row) -> str:
    texts = [text if row.kind == "metric" else markdown.cell(text[:LONGEST]) for text in row.texts]
    for place in row.best:
        texts[place] = f"**{texts[place]}**"
    texts[0] = f"{texts[0]} {found.show_change(row)}".strip()
    return _line([markdown.cell(row.name), *texts])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def to_dict(found: Comparison, *, checked: Sequence[Checked] = ()) -> dict[str, Any]:
    """The comparison as JSON has it; what is no number there is null."""
    baseline = None if found.baseline is None else found.runs[found.baseline].run_id
    metrics = {
        row.name: {
            "change": row.change,
            "share": found.share_of(row),
            "best": found.runs[row.best[0]].run_id if row.best else None,
        }
        for row in found.rows
        if row.kind == "metric"
    }
    return {
        "version": 1,
        "runs": [_run(label, run) for label, run in zip(found.labels, found.runs, strict=True)],
        "baseline": baseline,
        "differing": [row.name for row in found.rows if row.kind != "metric"],
        "metrics": metrics,
        **({"gates": [each._asdict() for each in checked]} if checked else {}),
    }


def _run(label: str, run: PastRun) -> dict[str, Any]:
    tags = run.tags
    return {
        "label": label,
        "run_id": run.run_id,
        "status": run.status,
        "name": run.name,
        "branch": tags.get(BRANCH),
        "commit": tags.get("mlops.commit"),
        "dirty": tags.get("mlops.dirty") == "true",
        "url": run.url,
        "parameters": dict(run.parameters),
        "metrics": {key: value if math.isfinite(value) else None for key, value in run.metrics.items()},
        "wheels": {key.removeprefix(WHEEL): value for key, value in sorted(tags.items()) if key.startswith(WHEEL)},
    }


def _cells(found: Comparison, row: Row) -> list[str]:
    texts = [_cell(each, CELL) for each in row.texts]
    for place in row.best:
        texts[place] += BEST
    texts[0] = " ".join(filter(None, [texts[0], found.show_change(row)]))
    return [_cell(row.name, NAME), *texts]


def _differing(runs: Sequence[PastRun]) -> list[Row]:
    facts = [_facts(each) for each in runs]
    known = {key: None for each in facts for key in each}
    rows = [Row(kind, name, tuple(each.get((kind, name), "") for each in facts)) for kind, name in known]
    shown = (each._replace(texts=_tell_apart(each.texts)) if each.kind == "wheel" else each for each in rows)
    return sorted(filter(_differs, shown), key=lambda row: KINDS.index(row.kind))


def _differs(row: Row) -> bool:
    return len(set(map(_meaning, row.texts) if row.kind == "parameter" else row.texts)) > 1


def _meaning(text: str) -> str | Decimal:
    """What a parameter says: two spellings of a number say the same."""
    return Decimal(text) if NUMBER.fullmatch(text) else text


def _tell_apart(wheels: Sequence[str]) -> tuple[str, ...]:
    """The wheels of a library, as tags have them, by version; where one has several contents by their hashes too."""
    parts = [each.rpartition(" sha256:")[::2] for each in wheels]
    found = [(match[1] if (match := WHEEL_FILE.match(name)) else "", sha[:8]) for name, sha in parts]
    contents: dict[str, set[str]] = {}
    for version, sha in found:
        contents.setdefault(version, set()).update({sha} - {""})

    def show(version: str, sha: str) -> str:
        if version and len(contents[version]) == 1:
            return version
        return sha if len(contents.keys() - {""}) == 1 else f"{version} {sha}".strip()

    return tuple(show(*each) for each in found)


def _facts(run: PastRun) -> dict[tuple[str, str], str]:
    """What may make a run another one than the one before, by its kind and the name that a reader knows it by."""
    commit = run.tags.get("mlops.commit", "")[:7] + (" dirty" if run.tags.get("mlops.dirty") == "true" else "")
    wheels = {key: value for key, value in sorted(run.tags.items()) if key.startswith(WHEEL)}
    return {
        **{("parameter", key): value for key, value in run.parameters.items()},
        ("fact", "commit"): commit,
        ("fact", "name"): "" if MADE_UP.fullmatch(run.name) else run.name,
        ("fact", "status"): run.status,
        ("fact", "entry point"): run.tags.get(ENTRY_POINT, ""),
        **{("wheel", key.removeprefix(WHEEL)): value for key, value in wheels.items()},
    }


def _cell(text: str, width: int) -> str:
    """A text as somebody else wrote it, on one line and without what a terminal would obey."""
    plain = markdown.printable(text)
    return plain if len(plain) <= width else f"{plain[: width - 1]}…"
