"""Virtual environments for runs on this machine, built with uv from what the project asks for, and used again."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from mlops_tasks import errors, files, locks, processes, state, uv
from mlops_tasks.backends.local import bytecode
from mlops_tasks.project import environment, mlproject, requirements, staging
from mlops_tasks.report import Report
from mlops_tasks.tracking import bounds

COMPLETE = "complete"
SEEDS = ("pip", "setuptools")
"""What every environment of MLflow's has, whatever the project asks for."""
ACTIVATED = {"VIRTUAL_ENV", "CONDA_PREFIX"}
FLAGS = re.compile(r"--pre|--require-hashes|--trusted-host[ =]\S+")
"""Options in a file of requirements that uv takes on its command line alone."""
FIRST_WORDS, LAST_WORDS = 4, 8
"""How many lines are shown of what uv says: a package that cannot be built here fills a screen."""
UNSOLVABLE = (uv.NO_SOLUTION, "unsatisfiable", "conflicting URLs")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What an environment is made of.

    `lines` are requirements; paths in them are absolute, and may lie in the folder `project`. `mlflow` is the version
    of the running MLflow. `source` is the user's own file that the lines are from, `is_conda` says that it is conda's.
    """

    lines: tuple[str, ...]
    mlflow: str
    project: Path
    source: Path
    is_conda: bool = False

    def moved(self, to: Path) -> list[str]:
        """The lines with the folder `to` for the project's own. What we wrote ourselves below `.mlops` stays there."""

        def move(found: re.Match[str]) -> str:
            return to.as_uri() if found[0].startswith("file:") else str(to)

        old = f"{re.escape(self.project.as_uri())}|{re.escape(str(self.project))}"
        return [re.sub(rf"(?:{old})(?!/\.mlops/)(?=[/\[;\s]|$)", move, line) for line in self.lines]

    @property
    def names_project(self) -> bool:
        return self.moved(Path("/")) != list(self.lines)


@contextlib.contextmanager
def built(
    wanted: Wanted, *, folder: Path, environ: Mapping[str, str], run: processes.Runner, report: Report
) -> Iterator[Path]:
    """The path of an environment below `folder`, which is not pruned until the block ends.

    One with the same inputs is used again. What the project itself is installed from is a copy that belongs to the
    environment: a build leaves files behind. Raises StepFailed with uv's own words; where they are many, the whole of
    them is in `build.log` beside it.
    """
    env = {key: value for key, value in uv.environment(environ).items() if key not in ACTIVATED}
    names = staging.list_again(wanted.project, run=run) if wanted.names_project else []
    path = folder / files.digest(_inputs(wanted, names, env))[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with locks.built_once(path.with_suffix(".lock"), is_built=lambda: _is_complete(path)) as done:
        if _is_complete(path):
            report.debug("environment up to date")
        else:
            with report.waiting(f"building the environment ({len(wanted.lines)} requirements)"):
                shutil.rmtree(path, ignore_errors=True)
                _Building(path=path, wanted=wanted, env=env, run=run, say=report.detail).build(names)
                bytecode.bring(path, beside=list(filter(_is_complete, _by_last_use(folder))))
                (path / COMPLETE).write_text(str(path), encoding="utf-8")
        done()
        os.utime(path)
        _prune(folder)
        yield path


def _is_complete(path: Path) -> bool:
    """Whether the environment was built, and at this path: its programs name the path that they were built at."""
    mark = path / COMPLETE
    return mark.is_file() and mark.read_text(encoding="utf-8") == str(path)


def mlflow_root(folder: Path) -> Path:
    """The folder for the environments that MLflow builds itself: another one where `folder` was moved."""
    return folder / f"mlflow-{files.sha256(str(folder).encode())[:8]}"


def find_mlflow(path: Path) -> str:
    """The version of MLflow in the environment at `path`, empty where it has none."""
    for site in map(str, path.glob("lib/python*/site-packages")):
        for name in bounds.DISTRIBUTIONS:
            for found in metadata.distributions(name=name, path=[site]):
                return found.version
    return ""


def _inputs(wanted: Wanted, names: Sequence[str], env: Mapping[str, str]) -> dict[str, object]:
    """All that decides what is installed, as far as it is known before."""
    return {
        "python": sys.version,
        "base": sys.base_prefix,
        "requirements": wanted.moved(Path("/project")),
        "mlflow": wanted.mlflow,
        "project": staging.hash_files(wanted.project, names),
        "settings": uv.deciding(env),
    }


@dataclass(frozen=True, kw_only=True)
class _Building:
    path: Path
    wanted: Wanted
    env: Mapping[str, str]
    run: processes.Runner
    say: Callable[[str], None]

    def build(self, names: Sequence[str]) -> None:
        """The running MLflow is installed where the requirements allow it, else the one that they lead to."""
        self._check(self._uv("venv", "--quiet", "--python", sys.executable, str(self.path)))
        copy = self.path / "project" / self.wanted.project.name
        for name in names:
            files.copy(self.wanted.project / name, copy / name, leads_to=Path.readlink)
        _write(self.path / "requirements.txt", [*uv.pip_lines(self.env), *self.wanted.moved(copy), *self._seeds()])
        version = self.wanted.mlflow
        done = self._install([*(f"{name}=={version}" for name in bounds.DISTRIBUTIONS), *bounds.lacking(version)])
        if done.returncode and any(words in done.stderr for words in UNSOLVABLE):
            done = self._install([])
            if not done.returncode and (lacking := bounds.lacking(find_mlflow(self.path) or version)):
                done = self._install(lacking)
        self._check(done)

    def _seeds(self) -> list[str]:
        named = {found.name for line in self.wanted.lines if (found := requirements.parse(line))}
        return [*SEEDS, *(["mlflow"] if named.isdisjoint(bounds.DISTRIBUTIONS) else [])]

    def _install(self, constraints: Sequence[str]) -> processes.Completed:
        _write(self.path / "constraints.txt", constraints)
        limits = [str(self.path / "constraints.txt"), *self.env.get("UV_CONSTRAINT", "").split()]
        flags = [part for line in self.wanted.lines if FLAGS.fullmatch(line) for part in line.split()]
        flags += [part for each in limits for part in ("-c", each)]
        into = ["--python", str(self.path / "bin" / "python")]
        return self._uv("pip", "install", "--quiet", *into, *flags, "-r", str(self.path / "requirements.txt"))

    def _uv(self, *arguments: str) -> processes.Completed:
        return uv.run_reaching(
            [str(uv.find()), *arguments], env=self.env, run=self.run, cwd=self.path.parent, say=self.say
        )

    def _check(self, done: processes.Completed) -> None:
        if not done.returncode:
            return
        said = processes.describe_failure(done)
        fault = uv.explain(said)
        what = f"the run's environment cannot be built{f': {fault.what}' if fault else ''}"
        by_conda = " (or give `--env-manager conda`, which has more than PyPI)" if self.wanted.is_conda else ""
        cure = f"correct the project's requirements{by_conda}, then `inv patch run`"
        if fault is not None or processes.ran_full(done):
            cure = f"{fault.cure if fault else 'make room'}, then `inv run`"
        named = [] if fault is not None else uv.REQUIRED.findall(said)
        where = requirements.place_of(named, self.wanted.source)
        raise errors.StepFailed(f"{what}\n{self._shorten(uv.last_cause(said))}", where=where, cure=cure)

    def _shorten(self, said: str) -> str:
        """The first and the last words of a long reason, and where all of it is kept."""
        lines = said.splitlines()
        if len(lines) <= FIRST_WORDS + LAST_WORDS:
            return said
        log = self.path / "build.log"
        _write(log, lines)
        return "\n".join([*lines[:FIRST_WORDS], "  ...", *lines[-LAST_WORDS:], f"  the whole log: {log}"])


def _write(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def read_lines(project: mlproject.Project, *, report: Report) -> list[str]:
    """The requirement lines of the environment that the project asks for: a Spark job's libraries, or its YAML's.

    Somebody else's wheel in a workspace, which a Spark job's cluster installs, is left out: no machine but that has it.
    """
    found, source = environment.read(project)
    if project.spark_job is not None:
        lines = [line for line in found.pip if not requirements.is_elsewhere(line)]
        names = {parsed.name for line in lines if (parsed := requirements.parse(line))}
        return [*lines, "pyspark"] if "pyspark" not in names and _imports_pyspark(project.folder) else lines
    packages = environment.to_requirements(found, source)
    if found.python is not None and not found.python.allows(platform.python_version()):
        report.detail(
            f"{source.name} asks for Python {found.python.asked}; this rehearsal runs on {platform.python_version()}"
        )
    if packages:
        report.detail(f"conda packages are taken from PyPI: {', '.join(packages)}")
    listed = requirements.expand(found.pip, source)
    return [*packages, *(requirements.located(line, base=source.parent) for line in listed)]


def _imports_pyspark(folder: Path) -> bool:
    imports = re.compile(r"^\s*(?:import|from)\s+pyspark\b", re.MULTILINE)
    return any(imports.search(path.read_text(encoding="utf-8", errors="replace")) for path in folder.rglob("*.py"))


def _prune(folder: Path) -> None:
    """Remove the environments that were not used for longest, with their locks, but none that is in use."""
    for path in _by_last_use(folder)[state.KEPT :]:
        locks.remove_unused(path, path.with_suffix(".lock"))


def _by_last_use(folder: Path) -> list[Path]:
    """The environments below `folder`, the last used one first; one that was being built may not be there yet."""
    names = {path.stem for path in folder.iterdir() if re.fullmatch(r"[0-9a-f]{16}(\.lock)?", path.name)}
    return sorted((folder / name for name in names), key=state.last_used, reverse=True)
