"""Everything one command needs, computed lazily and once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mlops_tasks import errors, files, processes, record, redaction, slugs, state
from mlops_tasks.checkout import git, repository
from mlops_tasks.checkout.branch import Facts, gather
from mlops_tasks.release import Release, Wheel
from mlops_tasks.report import Report
from mlops_tasks.settings import Settings
from mlops_tasks.stores import uris

if TYPE_CHECKING:
    from mlops_tasks.project import mlproject
    from mlops_tasks.stores import base as stores
    from mlops_tasks.targets import base as targets
    from mlops_tasks.wheels import sources, versions


_WAITING = "another command is waited for"


class LibraryState(NamedTuple):
    """The digest of all that decides a library's wheel; its local version, None where none is wanted."""

    digest: str
    local: versions.Local | None
    sources: sources.Sources


class Lost(NamedTuple):
    """A thing that a step has made and that is no longer as it was: `gone`, say; without a word it was changed."""

    how: str = ""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Context:
    """What one command works with: its settings, and the facts that its steps share.

    `root` is the folder that holds tasks.py: relative paths in the settings count from there. `warned` is what has been
    warned of or said once so far: each is shown once, however many steps find it.
    """

    root: Path
    settings: Settings
    report: Report
    run: processes.Runner
    environ: Mapping[str, str]
    dry_run: bool
    warned: set[str] = field(default_factory=set)

    @cached_property
    def facts(self) -> Facts:
        return gather(
            self.root,
            branch=self.settings.branch,
            branch_origin=self.settings.origins.get("branch", ""),
            environ=self.environ,
            runner=self.run,
        )

    @property
    def top(self) -> Path:
        return self.facts.top

    @cached_property
    def places(self) -> state.StateFolder:
        return state.StateFolder(self.top)

    @cached_property
    def record(self) -> record.Record:
        kind = record.ScratchRecord if self.dry_run else record.Record
        return kind(self.record_folder, runs=self.runs_folder)

    @cached_property
    def other_releases(self) -> tuple[Release, ...]:
        """What is recorded here of other branches, environments and projects, the last used first."""
        found = []
        for path in self.places.records():
            with contextlib.suppress(errors.OutOfOrder, FileNotFoundError):  # it is told where it is needed itself
                if path.parent != self.record_folder:
                    found.append(record.parse(path.read_bytes(), path=path))
        return tuple(found)

    def read_release(self, path: Path) -> Release | None:
        """The release on record at `path`; None where it is gone, or, with a warning, where it cannot be read."""
        try:
            return record.parse(path.read_bytes(), path=path)
        except FileNotFoundError:
            return None
        except errors.OutOfOrder as fault:
            self.warn_once(f"{fault.what}: {fault.where}")
            return None

    @property
    def other_branches(self) -> tuple[Release, ...]:
        """What is recorded here of this project's other branches for this environment, the last used first."""
        own = self.project_name, self.settings.environment
        return tuple(each for each in self.other_releases if (each.project, each.released_to) == own)

    @property
    def release_folder(self) -> Path:
        """The folder of this project's releases to this environment, of whichever branch."""
        return self.places.release_folder(slugs.slug(self.project_name), slugs.slug(self.settings.environment))

    @property
    def record_folder(self) -> Path:
        """The folder of this branch's record, with its locks."""
        return self.record_of(self.settings.environment)

    def record_of(self, environment: str) -> Path:
        """The folder of this branch's record of its release to one environment."""
        return self.places.record_folder(*map(slugs.slug, (self.project_name, environment, self.facts.branch)))

    @property
    def staged_root(self) -> Path:
        """The folder of the staged copies of this release: another project's release prunes nothing in it."""
        return self.release_folder / "staged"

    @property
    def runs_folder(self) -> Path:
        """The folder of the runs' logs and records, each by its run's id."""
        return self.release_folder / "runs"

    @cached_property
    def project_name(self) -> str:
        """The project's name in the record: its path below the top folder, or its URI without any password.

        A project in the top folder itself goes by MLproject's `name`: two clones may lie in folders of any name.
        """
        if self.is_fetched:
            return redaction.show_repository(self.settings.project)
        name = self.relative(self.root / self.settings.project)
        if name != ".":
            return name
        return self.project.name

    @cached_property
    def repository(self) -> str:
        """The repository's name: the setting's, else its remote's, else the top folder's."""
        tree = self.facts.tree
        return self.settings.repository or repository.find_name(self.top, tree.remotes if tree else {})

    @cached_property
    def default_branch(self) -> str:
        """The branch that others are compared with: the one that the remote's HEAD names, else main or master."""
        return git.default_branch(self.facts.tree, runner=self.run)

    @cached_property
    def project_in_repository(self) -> str:
        """As much of `project_name` as no other project of the repository has; of a project at a URI all of it.

        A project in the top folder goes by its name, unless another one's folder is called so too.
        """
        if self.is_fetched:
            return self.project_name
        own, others = self.project_name, repository.list_projects(self.top, self.facts.tree, runner=self.run)
        if (self.root / self.settings.project).resolve() != self.top:
            return slugs.telling_end(own, others)
        is_taken = "/" in own or own in {each.rpartition("/")[2] for each in others}
        return f"./{own}" if is_taken else own

    @property
    def is_fetched(self) -> bool:
        if ":" not in self.settings.project:
            return False
        from mlops_tasks.project import fetching

        return fetching.is_uri(self.settings.project)

    @cached_property
    def project_folder(self) -> Path:
        """The folder of the project's files: the one that the settings name, or the fetched copy of a git URI."""
        if not self.is_fetched and self.settings.version is not None:
            raise errors.BadInput(
                "the version is of a project at a git URI, and this one is a folder",
                where="version",
                cure="leave version out, or set project to that URI",
            )
        if not self.is_fetched:
            return (self.root / self.settings.project).resolve()
        from mlops_tasks.project import fetching

        self.places.create()  # whichever command comes first, git must not see what is fetched
        with self.report.waiting(f"fetching {self.project_name}"):
            return fetching.fetch(
                self.settings.project,
                version=self.settings.version,
                into=self.places.fetched / slugs.slug(self.project_name),
                runner=self.run,
            )

    def check_folder(self) -> None:
        """Raise BadInput, which says what a project is, where the folder that the settings name is not there."""
        if not self.is_fetched and not self.project_folder.is_dir():
            _ = self.project

    @cached_property
    def project(self) -> mlproject.Project:
        from mlops_tasks.checkout import missing
        from mlops_tasks.project import mlproject

        found = None if self.is_fetched else missing.find_submodule(self.project_folder, self.facts.tree)
        if found is not None:
            raise errors.BadInput(f"the project is not there: {found.what}", where=self.project_folder, cure=found.cure)
        return mlproject.load(self.project_folder)

    @cached_property
    def libraries(self) -> tuple[Path, ...]:
        from mlops_tasks.wheels import sources

        if not self.settings.libraries:
            return ()  # a project without libraries of its own is a project
        report = _SaidOnce(self)
        return sources.find_libraries(self.settings.libraries, base=self.root, tree=self.facts.tree, report=report)

    @cached_property
    def decided_by(self) -> dict[str, dict[str, object]]:
        """What decides each step, as it was found last: its parts, as a person calls them; or what is Lost alone."""
        return {}

    @cached_property
    def library_states(self) -> dict[Path, LibraryState]:
        """The libraries as the steps of this command found them: each is looked at once, and again after a build."""
        return {}

    @cached_property
    def has_taken_time(self) -> list[str]:
        """What has gone on since the work tree was read, so that files can have come.

        A list, as a Context is frozen.
        """
        return []

    @cached_property
    def project_hashes(self) -> dict[Path, dict[str, str]]:
        """The project's files with their modes and contents, by its folder: looked at once, and again once patched."""
        return {}

    @cached_property
    def fingerprints(self) -> files.Fingerprints:
        return files.Fingerprints()

    @cached_property
    def programs_environ(self) -> Mapping[str, str]:
        """`environ` for programs that need a home, and for MLflow, which asks for one as soon as it is imported."""
        found = self.places.complete(self.environ)
        if "HOME" not in self.environ and "HOME" in found:
            os.environ.setdefault("HOME", found["HOME"])
        return found

    @cached_property
    def target(self) -> targets.Target:
        from mlops_tasks.targets import choosing

        return choosing.choose(
            self.settings.target,
            places=self.places,
            environ=self.programs_environ,
            run=self.run,
            profile=self.settings.profile,
            report=self.report,
            environment=self.settings.environment,
        )

    def warn_once(self, text: str) -> None:
        if text not in self.warned:
            self.report.warning(text)
        self.warned.add(text)

    def say_once(self, text: str) -> None:
        if text not in self.warned:
            self.report.detail(text)
        self.warned.add(text)

    def say_waiting(self, text: str) -> None:
        """Say that another command is waited for, once however many locks it and its processes hold meanwhile."""
        self.has_taken_time.append(text)
        if _WAITING not in self.warned:
            self.report.detail(text)
        self.warned.add(_WAITING)

    def silenced(self) -> Context:
        """A context that says nothing, with all that this one has found out: a step taken again would repeat itself."""
        made = replace(self, report=Report(), warned=set())
        vars(made).update({key: value for key, value in vars(self).items() if key not in {"report", "warned"}})
        return made

    def with_settings(self, settings: Settings) -> Context:
        """The same with other parameters, tags or another run's name: all that was found out holds for these too."""
        made = replace(self)
        vars(made).update({**vars(self), "settings": settings})
        return made

    def beside(self, settings: Settings) -> Context:
        """The context of another project that is released to the same environment from the same branch."""
        made = replace(self, settings=settings)
        vars(made).update({key: vars(self)[key] for key in ("facts", "places", "target") if key in vars(self)})
        return made

    def in_environment(self, name: str) -> Context:
        """The context of the same project and branch in another environment, as the configuration has it."""
        settings = self.settings.in_environment(name)
        if settings is self.settings:
            return self
        made = replace(self, settings=settings)
        vars(made).update({key: vars(self)[key] for key in ("facts", "places") if key in vars(self)})
        return made

    @cached_property
    def preflighted(self) -> list[tuple[Wheel, ...] | None]:
        """The wheels for which this command has run the checks of the doctor."""
        return []

    @property
    def has_root_of_another_target(self) -> bool:
        """Whether `wheel_root` is meant for another target: a flag, or the environment's own, is meant for this one."""
        root, origin = self.settings.wheel_root, self.settings.origins.get("wheel_root", "")
        meant = origin.startswith(("--", f"mlops.environments.{self.settings.environment}."))
        return root is not None and not meant and not self.target.may_hold(root)

    @cached_property
    def cluster_spec(self) -> Path | None:
        """The user's own file of the cluster spec; None where there is none."""
        from mlops_tasks.project import cluster

        return cluster.find(self.cluster, self.project.folder)

    @cached_property
    def backend(self) -> str:
        """The backend that runs the project; which one fits is said once."""
        name, why = self.target.choose_backend(self.settings, self.project, self.cluster_spec)
        if self.target.is_databricks and self.settings.backend == "auto":
            self.say_once(f"backend {name}: {why}")
        else:
            self.report.debug(f"backend {name}: {why}")
        return name

    @cached_property
    def wheel_root(self) -> str:
        root = self.settings.wheel_root
        if root is None or self.has_root_of_another_target:
            own, why = self.target.default_wheel_root(self.backend if self.target.is_databricks else "")
            if why:
                self.say_once(f"wheel root {own}: {why}")
            return own
        is_uri = root.startswith(uris.REMOTE) or uris.has_scheme(root)
        return root if is_uri else self.relative(self.root / root)

    @cached_property
    def store(self) -> stores.Store:
        return self.target.store(self.wheel_root)

    @cached_property
    def cluster(self) -> Path | None:
        if self.settings.cluster is None:
            return None
        path = self.root / self.settings.cluster
        if not path.is_file():
            raise errors.BadInput("there is no such cluster spec", where=path, cure="correct the setting `cluster`")
        return path

    def relative(self, path: Path) -> str:
        return files.relative(path, self.top)


class _SaidOnce(Report):
    """A report that says and warns of nothing twice."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def detail(self, text: str) -> None:
        self._context.say_once(text)

    def warning(self, text: str) -> None:
        self._context.warn_once(text)
