"""One run for each combination of some parameters' values, several side by side; a sweep that was cut off goes on.

Each run is taken by a process of its own, as MLflow takes much of its settings from the process that it works in.
"""

from __future__ import annotations

import base64
import collections
import contextlib
import copyreg
import itertools
import json
import math
import pickle
import queue
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType

from mlops_tasks import errors, files, locks, processes, redaction
from mlops_tasks.backends.base import Job
from mlops_tasks.pipeline import job_plan, run_list, staleness
from mlops_tasks.pipeline.inputs import Inputs, Part
from mlops_tasks.record import GATE_NOT_MET, RunState
from mlops_tasks.release import Attempt, Release
from mlops_tasks.settings import REPEATED
from mlops_tasks.steps.context import Context

MOST = 100
"""How many runs a sweep may have."""
FORM = "give it as --sweep c=0.01,0.1,1; a value with a comma or a line break stands in '...'"
VALUE = re.compile(r",(?:'(?P<quoted>(?:[^']|'')*)'|(?P<plain>(?:[^',][^,]*)?))(?=,|\Z)")
"""One of the values, with the comma before it; within quotes '' stands for a quote."""
CLOSED = re.compile(r",'(?:[^']|'')*'(?!')")
ONCE, OPEN = "give each value once", "has a quote that is not closed"
CHILD = Path(__file__).with_name("sweep_child.py")
COLUMNS = ("values", "state", "run", "because")
WAITING, STARTING = RunState("", "waiting"), RunState("", "starting")
BEGUN, NOT_RUN, CUT_OFF = "going on", "not run", "cut off"
ENDED, STOPPED, NOT_BEGUN, LEFT = "had ended", "were stopped", "were not begun", "may go on (`inv runs` lists them)"
"""What has become of the runs of a sweep that was interrupted."""

Show = Callable[[Sequence[Sequence[str]], str], None]


@dataclass(frozen=True, kw_only=True, repr=False)
class Swept(Release):
    """The release that a sweep has run, with the end of each run by its values."""

    sweep: Mapping[str, RunState] = field(default_factory=dict)


def parse(texts: Sequence[str]) -> list[dict[str, str]]:
    """The parameters of each run: all combinations of the values in texts such as `c=0.1,'a,b'`; of no text one.

    BadInput for another form, for a value or a parameter that is given twice, and for too many runs.
    """
    grid: dict[str, list[str]] = {}
    for text in texts:
        name, mark, values = text.partition("=")
        if not mark or not name:
            raise errors.BadInput(
                f"{redaction.mask(text)!r} is not of the form name=value,value", where="--sweep", cure=FORM
            )
        if name in grid:
            raise errors.BadInput(f"{name} is given twice", where="--sweep", cure="give all of its values at once")
        grid[name] = _split(values, text)
    number = math.prod(map(len, grid.values()))
    if number > MOST:
        what = f"the sweep has {number} runs, and {MOST} is the most"
        raise errors.BadInput(what, where="--sweep", cure="give fewer values, or several sweeps")
    return [dict(zip(grid, each, strict=True)) for each in itertools.product(*grid.values())]


def _split(values: str, text: str) -> list[str]:
    """The values in `values`, which come from `text`."""
    found: list[str] = []
    rest, at = f",{values}", 0
    while at < len(rest):
        value = VALUE.match(rest, at)
        if value is None:
            raise _refused(text, "has text behind a closing quote" if CLOSED.match(rest, at) else OPEN)
        if any(each in (value["plain"] or "") for each in "\r\n"):
            raise _refused(text, "has a value that holds a line break")
        found.append(value["plain"] if value["quoted"] is None else value["quoted"].replace("''", "'"))
        at = value.end()
    if not all(found):
        raise _refused(text, "has an empty value")
    masked = [redaction.mask(each) for each in found]
    if twice := next((each for each in masked if masked.count(each) > 1), None):
        raise _refused(text, f"has the value {twice} twice", ONCE)
    return found


def _refused(text: str, why: str, cure: str = FORM) -> errors.BadInput:
    return errors.BadInput(f"{redaction.mask(text)!r} {why}", where="--sweep", cure=cure)


def check(context: Context, inputs: Inputs) -> list[dict[str, str]]:
    """The parameters of each run, as `parse` has them; BadInput for a sweep that the command's other flags contradict.

    Of two values that are the same number for a parameter of that type one would be run twice.
    """
    from mlops_tasks.project import entry_points

    found, settings, flag = parse(inputs.sweep), context.settings, REPEATED["parameters"]
    if inputs.sweep and inputs.detach:
        what = "the runs of a sweep are followed to their ends"
        raise errors.BadInput(what, where="--detach", cure="leave --detach out, or --sweep")
    for name in found[0]:
        if settings.origins.get(f"parameters.{name}") == flag:
            what = f"{name} is given by --sweep and by {flag} {name}={redaction.mask(settings.parameters[name])}"
            raise errors.BadInput(what, where="--sweep", cure="leave one of the two out")
        known: dict[str, str] = {}
        for value in dict.fromkeys(each[name] for each in found):
            same = known.setdefault(entry_points.read_as(context.project, settings.entry_point, name, value), value)
            if same != value:
                what = f"{name} is given the same number twice, as {same} and as {value}"
                raise errors.BadInput(what, where="--sweep", cure=ONCE)
    return found


def show(context: Context, release: Release, inputs: Inputs) -> None:
    """Report what the sweep would run."""
    parts, jobs = _prepare(context, release, inputs)
    context.target.runs_of(jobs[0].backend).show(jobs[0])
    under = jobs[0].experiment_name or f"experiment {jobs[0].experiment_id}"
    at_once = f"{len(parts)} times, {context.settings.at_once} at once"
    would = f"would run {jobs[0].entry_point} {at_once}, under {under} on {context.target.display_name}"
    context.report.step("run", "\n".join([would, *(each.value for each in parts)]))


def take_sweep(context: Context, steps: staleness.Steps, inputs: Inputs) -> Swept:
    """Run the staged project once for each combination and follow the runs to their ends; RunFailed unless all finish.

    Where the same sweep was cut off, runs that have ended are not run again, and those that go on are followed.
    OutOfOrder where another command is at the same sweep.
    """
    from mlops_tasks.doctor import reading

    _ = check(context, inputs)
    command, kept = inputs.command or "run", context.record
    with contextlib.ExitStack() as stack:
        with kept.locked(command, wait=context.say_waiting):
            context.target.check()
            release = staleness.begin(context, steps, "run", inputs)
            parts, _ = _prepare(context, release, inputs)
            reading.look_ahead(context, release, force=inputs.force)
            sweep = parts[0].sweep
            stack.enter_context(locks.held(kept.sweep_path(sweep).with_suffix(".lock"), command))
            ended = kept.begin_sweep(sweep, release)
        if ended:
            context.report.detail(f"the sweep was cut off: {len(ended)} of its {len(parts)} runs had ended")
        states = Sweeping(context, inputs, parts, ended).work()
        with kept.locked(command, wait=context.say_waiting):
            is_over = len(kept.load_sweep(sweep)) == len(parts)
            if is_over:
                kept.end_sweep(sweep)
    return _conclude(context, release, states, is_over=is_over)


def _prepare(context: Context, release: Release, inputs: Inputs) -> tuple[list[Part], list[Job]]:
    """The runs of the sweep, and their jobs; BadInput and OutOfOrder as for a single run."""
    parts = [Part("", each, release, "") for each in check(context, inputs)]
    jobs = [job_plan.prepare(context, release, inputs._replace(part=each)) for each in parts]
    identities = [job_plan.identity(each) for each in jobs]
    sweep = files.digest({"jobs": identities})[:16]
    return [each._replace(sweep=sweep, job=job) for each, job in zip(parts, identities, strict=True)], jobs


class Sweeping:
    """The runs of a sweep at work, by their values; those that have `ended` before are not run."""

    def __init__(self, context: Context, inputs: Inputs, parts: Sequence[Part], ended: Mapping[str, RunState]) -> None:
        self._context, self._inputs = context, inputs
        self._parts = {each.value: each for each in parts}
        self._states = {value: ended.get(value, WAITING) for value in self._parts}
        self._said: queue.SimpleQueue[tuple[str, Mapping[str, str]]] = queue.SimpleQueue()
        self._working: dict[str, processes.Beside] = {}
        self._warnings: dict[str, None] = {}

    def work(self) -> dict[str, RunState]:
        """The end of each run, once the last one has ended. Whatever cuts that short ends those that go on."""
        waiting = collections.deque(value for value, state in self._states.items() if state is WAITING)
        try:
            with self._context.report.board(COLUMNS) as show_rows, self._ended_when_cut_off(show_rows):
                while waiting or self._working:
                    while waiting and len(self._working) < self._context.settings.at_once:
                        self._start(waiting.popleft())
                    self._take(show_rows, *self._said.get())
        finally:
            for warning in self._warnings:  # shown before, it would break the board
                self._context.warn_once(warning)
        return self._states

    @contextlib.contextmanager
    def _ended_when_cut_off(self, show_rows: Show) -> Iterator[None]:
        """End the runs that go on when the block is cut short; an interrupt says what has become of the sweep then."""
        try:
            yield
        except BaseException as cut:
            for child in self._working.values():
                child.ask_to_end()
            while self._working:
                self._take(show_rows, *self._said.get())
            if isinstance(cut, KeyboardInterrupt):
                command = self._inputs.command or "run"
                cut.args = self._tell_how_far(), f"`inv {command}` goes on with the sweep"
            raise

    def _tell_how_far(self) -> str:
        found = collections.Counter(map(self._find_fate, self._parts))
        told = (f"{found[fate]} {fate}" for fate in (ENDED, STOPPED, NOT_BEGUN, LEFT) if found[fate])
        told = (each.replace(" were ", " was ") if each.startswith("1 ") else each for each in told)
        return f"of the {len(self._parts)} runs of the sweep {', '.join(told)}"

    def _find_fate(self, value: str) -> str:
        """What has become of a run, once no process is at work: whoever ended it there has recorded its end."""
        state, part = self._states[value], self._parts[value]
        found = self._context.record.load_attempt(Attempt(id="", job=part.job))
        left = found.attempt if found and self._context.target.is_remote else None
        if state.state in {WAITING.state, NOT_RUN} or not state.run_id:
            return LEFT if left and left.sent else NOT_BEGUN
        if state.state != CUT_OFF:
            return ENDED
        return LEFT if left else STOPPED

    def _start(self, value: str) -> None:
        self._states[value] = STARTING
        self._working[value] = processes.Beside(
            [sys.executable, str(CHILD)],
            env=self._context.environ,
            message=tell(self._context, self._inputs._replace(sweep=(), made={}, part=self._parts[value])),
            say=lambda line: self._said.put((value, json.loads(line))),
            end=lambda code, said: self._said.put((value, {"code": str(code), "errors": said})),
        )

    def _take(self, show_rows: Show, value: str, said: Mapping[str, str]) -> None:
        """Take in what a run's process has said, or that it has ended."""
        news = ""
        if "warning" in said:
            self._warnings[said["warning"]] = None
        elif "state" in said:
            self._states[value] = RunState(said["run_id"], said["state"], said["because"])
            ((name, *cells),) = tabulate({value: self._states[value]})
            news = " ".join(filter(None, [f"{name}:", *cells]))
        else:
            del self._working[value]
            state = self._states[value]
            if state.state in {STARTING.state, BEGUN}:
                self._states[value] = RunState(state.run_id, CUT_OFF, f"its process ended with {said['code']}")
                self._warnings |= dict.fromkeys(filter(None, [said["errors"].strip()]))
        show_rows(tabulate(self._states), news)


def tell(context: Context, inputs: Inputs) -> str:
    """What the program of one run is told, in one line. The work tree's branch may be another one by then."""
    copyreg.pickle(MappingProxyType, lambda proxy: (MappingProxyType, (dict(proxy),)))
    settings = replace(context.settings, branch=context.facts.branch)
    return base64.b64encode(pickle.dumps((context.root, settings, inputs))).decode("ascii")


def tabulate(states: Mapping[str, RunState]) -> list[list[str]]:
    """A row for each run, without what a terminal would obey."""
    rows = ([value, each.state, each.run_id[: run_list.SHORT], each.because] for value, each in states.items())
    return [["".join(each if each.isprintable() else "?" for each in cell) for cell in row] for row in rows]


def _conclude(context: Context, release: Release, states: Mapping[str, RunState], *, is_over: bool) -> Swept:
    """Report the runs, and compare them; RunFailed or GateNotMet unless all have finished and meet their gates."""
    facts = {each.name: getattr(release, each.name) for each in fields(Release)}
    swept = Swept(**{**facts, "attempt": None, "run": None}, sweep=states)
    context.report.table("", COLUMNS, tabulate(states))
    _compare(context, states)
    failed = [each.state for each in states.values() if each.state != "FINISHED"]
    if not failed:
        return swept
    again = "begins the sweep anew" if is_over else "goes on with those that have not ended"
    kind = errors.GateNotMet if set(failed) == {GATE_NOT_MET} else errors.RunFailed
    count = ", ".join(f"{number} {state}" for state, number in collections.Counter(failed).items())
    fault = kind(
        f"{len(failed)} of the {len(states)} runs of the sweep did not end well: {count}",
        where=context.runs_folder,
        cure=f"see what the table and their logs say; the same command {again}",
    )
    fault.release = swept
    raise fault


def _compare(context: Context, states: Mapping[str, RunState]) -> None:
    from mlops_tasks.pipeline import comparison

    try:
        tracking = context.target.runs.tracking
        ids = [each.run_id for each in states.values() if each.run_id]
        runs = [found for found in map(tracking.read_past, ids) if found]
    except errors.WorkspaceError as fault:  # the runs themselves have ended and are recorded
        context.report.warning(f"the runs cannot be compared: {fault.what}")
        return
    if len(runs) > 1:
        labels = [each.run_id[: run_list.SHORT] for each in runs]
        directions = comparison.directions_of(context.settings.require)
        context.report.text("\n")  # a line between the two tables
        comparison.report_table(context, comparison.Comparison(runs=runs, labels=labels, directions=directions))
