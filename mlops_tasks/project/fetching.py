"""A project at a git URI, fetched at one version; no credential is left on the disk."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from mlops_tasks import errors, locks, processes, redaction
from mlops_tasks.checkout import git

_URI = re.compile(r"(?:https?|ssh|git|file)://.+|[\w.-]+@[\w.-]+:.+")
_USER, _PASSWORD = "PROJECT_URI_USER", "PROJECT_URI_PASSWORD"
_HELPER = f'!f() {{ cat >/dev/null; printf \'username=%s\\npassword=%s\\n\' "${_USER}" "${_PASSWORD}"; }}; f'
_COMMIT = re.compile(r"[0-9a-fA-F]{4,64}")


def is_uri(text: str) -> bool:
    """Whether `text` names a git repository (`https://...#folder`, `git@host:path`) and not a folder."""
    return _URI.fullmatch(text) is not None


def fetch(uri: str, *, version: str | None, into: Path, runner: processes.Runner) -> Path:
    """The project's folder in a copy of the repository, `<into>/<commit>/<name of into>`; a copy never changes.

    `version` is a branch, a tag or a commit; None is the repository's default branch. Raises StepFailed where the
    repository cannot be reached, BadInput where it has no such version or subfolder.
    """
    repository, _, subfolder = uri.partition("#")
    remote, into = _Remote(repository, run=runner), into.absolute()
    ref, commit = remote.resolve(version)
    copy = into / commit / into.name
    if not copy.is_dir():
        with locks.workplace(into) as place:
            copy = into / remote.check_out(place / into.name, ref, commit) / into.name
            remote.bring_submodules(place / into.name, subfolder)
            try:
                place.rename(copy.parent)
            except OSError:
                if not copy.parent.is_dir():  # else another command was quicker, with the same commit
                    raise
    os.utime(copy.parent)
    path = copy / subfolder if subfolder else copy
    whole = path.resolve()
    if not whole.is_dir() or not whole.is_relative_to(copy.resolve()):
        raise errors.BadInput(
            f"the repository has no folder {subfolder!r}",
            where=remote.url,
            cure="correct what follows `#` in the setting `project`",
        )
    return path


class _Remote:
    """A repository, which git reads by a URL without credentials.

    A credential helper of ours takes those from git's environment: every user of the machine can read a command line,
    and a file stays when the process is killed. git asks no other helper, so none stores them.
    """

    def __init__(self, repository: str, *, run: processes.Runner) -> None:
        self.url = redaction.show_repository(repository)
        self._secret = repository
        self._run = run

    def check_out(self, copy: Path, ref: str, commit: str) -> str:
        """Fetch `ref` into `copy` and check it out: its whole commit.

        A short commit, and a server that sends no single commit, need the whole history.
        """
        self._succeed(self._git("init", "--quiet", "--template=", str(copy)))
        wanted = "FETCH_HEAD"
        if self._fetch(copy, "--depth=1", refs=[ref]).returncode:
            self._succeed(self._fetch(copy, refs=["+refs/heads/*:refs/all/heads/*", "+refs/tags/*:refs/all/tags/*"]))
            wanted = commit
        done = self._git("-C", str(copy), "checkout", "--quiet", "--detach", f"{wanted}^{{commit}}", "--")
        if done.returncode and ref == commit:
            raise self._unknown(commit)
        self._succeed(done)
        (copy / ".git" / "FETCH_HEAD").unlink(missing_ok=True)
        return self._git("-C", str(copy), "rev-parse", "HEAD").stdout.strip()

    def bring_submodules(self, copy: Path, subfolder: str) -> None:
        """Check out the submodules in `subfolder`, or the one that it lies in, at the commits that `copy` names."""
        if not (copy / ".gitmodules").is_file():
            return
        listed = self._git("-C", str(copy), "ls-files", "--stage", "-z").stdout.split("\0")
        names = [line.partition("\t")[2] for line in listed if line.startswith(git.SUBMODULE)]
        inner = PurePosixPath(subfolder)
        wanted = [name for name in names if PurePosixPath(name).is_relative_to(inner) or inner.is_relative_to(name)]
        if not wanted:
            return
        # a submodule's relative URL counts from the repository's
        self._succeed(self._git("-C", str(copy), "config", "remote.origin.url", self.url))
        # git takes a path from a submodule only where the repository itself is one
        allowed = ("-c", "protocol.file.allow=always") if self.url.startswith("file:") else ()
        update = ("-C", str(copy), *allowed, "submodule", "--quiet", "update", "--init", "--recursive")
        done = self._git(*update, "--depth=1", "--", *wanted)
        if done.returncode:  # as where a server sends no single commit
            done = self._git(*update, "--", *wanted)
        self._succeed(done)

    def resolve(self, version: str | None) -> tuple[str, str]:
        """The ref and the commit that `version` means: a branch before a tag before a commit."""
        done = self._git("ls-remote", "--quiet", "--", self.url)
        self._succeed(done)
        pairs = [line.split("\t", 1) for line in done.stdout.splitlines() if "\t" in line]
        refs = {ref: commit for commit, ref in pairs if _COMMIT.fullmatch(commit)}
        for ref in ("HEAD",) if version is None else (f"refs/heads/{version}", f"refs/tags/{version}"):
            if ref in refs:
                return ref, refs.get(f"{ref}^{{}}", refs[ref])  # the commit of an annotated tag
        if version is not None and _COMMIT.fullmatch(version):
            return version, version
        raise self._unknown(version or "HEAD")

    def _fetch(self, copy: Path, *options: str, refs: Sequence[str]) -> processes.Completed:
        return self._git("-C", str(copy), "fetch", "--quiet", "--no-tags", *options, "--", self.url, *refs)

    def _git(self, *arguments: str) -> processes.Completed:
        # `true` answers a question for a password with nothing: a release must fail then, not wait for a person
        settings, variables = ["-c", "core.askPass=true", "-c", "advice.detachedHead=false"], {}
        _, login = redaction.split_login(self._secret)
        if login:  # git takes this host's credentials from our helper alone
            parts = urlsplit(self.url)
            key = f"credential.{parts.scheme}://{parts.netloc}"
            settings += ["-c", f"{key}.helper=", "-c", f"{key}.helper={_HELPER}"]
            variables = dict(zip((_USER, _PASSWORD), login, strict=True))
        try:
            return git.call(*settings, *arguments, run=self._run, variables=variables)
        except FileNotFoundError as fault:
            raise errors.StepFailed(
                "a project at a git URI needs git, and git is not installed", where=self.url, cure="install git"
            ) from fault

    def _succeed(self, done: processes.Completed) -> None:
        if done.returncode:
            check = "check the setting `project`, the network, and that git may read the repository"
            raise errors.StepFailed(
                f"git cannot fetch the project: {redaction.mask_login(processes.describe_failure(done), self._secret)}",
                where=self.url,
                cure="make room, then repeat" if processes.ran_full(done) else check,
            )

    def _unknown(self, version: str) -> errors.BadInput:
        return errors.BadInput(
            f"the repository has no branch, tag or commit {version!r}",
            where=self.url,
            cure="set `version` to a branch, tag or commit of it",
        )
