"""A project that lives at a git URI: fetched at one version, with nothing secret left behind."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from mlops_tasks import errors, locks, processes, redaction
from mlops_tasks.checkout import git

_URI = re.compile(r"(?:https?|ssh|git|file)://.+|[\w.-]+@[\w.-]+:.+")
_USER, _PASSWORD = "PROJECT_URI_USER", "PROJECT_URI_PASSWORD"
_HELPER = f'!f() {{ cat >/dev/null; printf \'username=%s\\npassword=%s\\n\' "${_USER}" "${_PASSWORD}"; }}; f'
_COMMIT = re.compile(r"[0-9a-fA-F]{4,64}")


def is_uri(text: str) -> bool:
    """Whether `text` names a git repository (`https://...#folder`, `git@host:path`), and not a folder."""
    return _URI.fullmatch(text) is not None


def fetch(uri: str, *, version: str | None, into: Path, runner: processes.Runner) -> Path:
    """The project's folder in a copy of the repository, `<into>/<commit>/<name of into>`, which is never rewritten.

    `version` is a branch, a tag or a commit; without it the repository's own default counts. Raises StepFailed where
    the repository cannot be reached, BadInput where it has no such version or subfolder.
    """
    repository, _, subfolder = uri.partition("#")
    copy = _bring(_Remote(repository, run=runner), version, into.absolute())
    os.utime(copy.parent)
    _check_subfolder(copy, subfolder, repository)
    return copy / subfolder if subfolder else copy


def _bring(remote: _Remote, version: str | None, into: Path) -> Path:
    """The copy of what `version` means now: the one that is there already, or a new one."""
    ref, commit = remote.resolve(version)
    there = into / commit / into.name
    if there.is_dir():
        return there
    with locks.workplace(into) as place:
        copy = place / into.name
        final = into / remote.check_out(copy, ref, commit)
        try:
            place.rename(final)
        except OSError:
            if not final.is_dir():  # else somebody was quicker, and one commit is one content
                raise
        return final / into.name


class _Remote:
    """One repository, asked by a URL without credentials.

    git is given those by a credential helper that reads them from its environment: a command line can be read by
    every user of the machine, and a file stays where the process is killed. No other helper is asked, nor told to
    keep them.
    """

    def __init__(self, repository: str, *, run: processes.Runner) -> None:
        self.url = redaction.show_repository(repository)
        self._secret = repository
        self._run = run

    def check_out(self, copy: Path, ref: str, commit: str) -> str:
        """The whole commit that was checked out.

        As little is fetched as the server allows: a short commit, or an old server, needs the whole history.
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

    def resolve(self, version: str | None) -> tuple[str, str]:
        """The ref and the commit that `version` means: a branch before a tag before a commit."""
        refs = self._list_refs()
        for ref in ("HEAD",) if version is None else (f"refs/heads/{version}", f"refs/tags/{version}"):
            if ref in refs:
                return ref, refs.get(f"{ref}^{{}}", refs[ref])  # of an annotated tag the commit
        if version is not None and _COMMIT.fullmatch(version):
            return version, version
        raise self._unknown(version or "HEAD")

    def _list_refs(self) -> Mapping[str, str]:
        done = self._git("ls-remote", "--quiet", "--", self.url)
        self._succeed(done)
        pairs = [line.split("\t", 1) for line in done.stdout.splitlines() if "\t" in line]
        return {ref: commit for commit, ref in pairs if _COMMIT.fullmatch(commit)}

    def _fetch(self, copy: Path, *options: str, refs: Sequence[str]) -> processes.Completed:
        return self._git("-C", str(copy), "fetch", "--quiet", "--no-tags", *options, "--", self.url, *refs)

    def _git(self, *arguments: str) -> processes.Completed:
        # `true` answers git's question for a password with nothing: a release must fail there, not wait for a person
        settings = ["-c", "core.askPass=true", "-c", "advice.detachedHead=false", *self._helper()]
        try:
            return git.call(*settings, *arguments, run=self._run, variables=self._credentials())
        except FileNotFoundError as fault:
            raise errors.StepFailed(
                "a project at a git URI needs git, which is not installed", where=self.url, cure="install git"
            ) from fault

    def _helper(self) -> Sequence[str]:
        """The settings that ask us for this host's credentials, and nobody else."""
        if not self._credentials():
            return ()
        parts = urlsplit(self.url)
        key = f"credential.{parts.scheme}://{parts.netloc}"
        return ("-c", f"{key}.helper=", "-c", f"{key}.helper={_HELPER}")

    def _credentials(self) -> Mapping[str, str]:
        _, login = redaction.split_login(self._secret)
        return dict(zip((_USER, _PASSWORD), login, strict=True)) if login else {}

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
            cure="set `version` to one that it has",
        )


def _check_subfolder(copy: Path, subfolder: str, repository: str) -> None:
    path = (copy / subfolder).resolve()
    if not path.is_dir() or not path.is_relative_to(copy.resolve()):
        raise errors.BadInput(
            f"the repository has no folder {subfolder!r}",
            where=redaction.show_repository(repository),
            cure="correct what follows `#` in the setting `project`",
        )
