"""A project that lives at a git URI: fetched at one version, with nothing secret left behind."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from mlops_tasks import errors, runner

_URI = re.compile(r"(?:https?|ssh|git|file)://.+|[\w.-]+@[\w.-]+:.+")
_COMMIT = re.compile(r"[0-9a-fA-F]{4,64}")


def is_uri(text: str) -> bool:
    """Whether `text` names a git repository (`https://...#folder`, `git@host:path`), and not a folder."""
    return _URI.fullmatch(text) is not None


def show(uri: str) -> str:
    """The URI without its credentials, for messages and records."""
    if "://" not in uri:
        return uri
    parts = urlsplit(uri)
    user, _, host = parts.netloc.rpartition("@")
    name = user.partition(":")[0]
    # over http even a name alone may be a token; over ssh it is the account's name
    kept = f"{name}@{host}" if name and parts.scheme == "ssh" else host
    return urlunsplit(parts._replace(netloc=kept))


def fetch(uri: str, *, version: str | None, into: Path, runner: runner.Runner) -> Path:
    """The project's folder in a copy of the repository, which replaces whatever was at `into`.

    `version` is a branch, a tag or a commit; without it the repository's own default counts. Raises StepFailed where
    the repository cannot be reached, BadInput where it has no such version or subfolder.
    """
    repository, _, subfolder = uri.partition("#")
    into = into.absolute()
    into.parent.mkdir(parents=True, exist_ok=True)
    with _workplace(into.parent) as place:
        remote = _Remote(repository, place=place, run=runner)
        copy = place / "copy"
        remote.check_out(copy, version)
        _check_subfolder(copy, subfolder, repository)
        shutil.rmtree(into, ignore_errors=True)
        copy.rename(into)
    return into / subfolder if subfolder else into


class _Remote:
    """One repository, asked by a URL without credentials.

    git is given those in a file that is removed again: a command line can be read by every user of the machine, and
    a configured remote would stay in the copy.
    """

    def __init__(self, repository: str, *, place: Path, run: runner.Runner) -> None:
        self.url = show(repository)
        self._secret = repository
        self._run = run
        self._config = place / "config"
        rewrite = (
            f'[url "{_quote(repository)}"]\n\tinsteadOf = "{_quote(self.url)}"\n' if repository != self.url else ""
        )
        self._config.touch(mode=0o600)
        self._config.write_text(rewrite, encoding="utf-8")

    def check_out(self, copy: Path, version: str | None) -> None:
        """Fetch as little as the server allows: a short commit, or an old server, needs the whole history."""
        ref, commit = self._resolve(version)
        self._succeed(self._git("init", "--quiet", "--template=", str(copy)))
        if self._fetch(copy, "--depth=1", refs=[ref]).returncode:
            self._succeed(self._fetch(copy, refs=["+refs/heads/*:refs/all/heads/*", "+refs/tags/*:refs/all/tags/*"]))
        else:
            commit = "FETCH_HEAD"
        done = self._git("-C", str(copy), "checkout", "--quiet", "--detach", f"{commit}^{{commit}}", "--")
        if done.returncode and ref == version:
            raise self._unknown(version)
        self._succeed(done)
        (copy / ".git" / "FETCH_HEAD").unlink(missing_ok=True)

    def _resolve(self, version: str | None) -> tuple[str, str]:
        """The ref and the commit that `version` means: a branch before a tag before a commit."""
        refs = self._list_refs()
        for ref in ("HEAD",) if version is None else (f"refs/heads/{version}", f"refs/tags/{version}"):
            if ref in refs:
                return ref, refs[ref]
        if version is not None and _COMMIT.fullmatch(version):
            return version, version
        raise self._unknown(version or "HEAD")

    def _list_refs(self) -> Mapping[str, str]:
        done = self._git("ls-remote", "--quiet", "--", self.url)
        self._succeed(done)
        pairs = [line.split("\t", 1) for line in done.stdout.splitlines() if "\t" in line]
        return {ref: commit for commit, ref in pairs}

    def _fetch(self, copy: Path, *options: str, refs: Sequence[str]) -> runner.Completed:
        return self._git("-C", str(copy), "fetch", "--quiet", "--no-tags", *options, "--", self.url, *refs)

    def _git(self, *arguments: str) -> runner.Completed:
        # `true` answers git's question for a password with nothing: a release must fail there, not wait for a person
        settings = ["-c", f"include.path={self._config}", "-c", "core.askPass=true", "-c", "advice.detachedHead=false"]
        try:
            return self._run(["git", *settings, *arguments])
        except FileNotFoundError as fault:
            raise errors.StepFailed(
                "a project at a git URI needs git, which is not installed", where=self.url, cure="install git"
            ) from fault

    def _succeed(self, done: runner.Completed) -> None:
        if done.returncode:
            raise errors.StepFailed(
                f"git cannot fetch the project: {self._mask(done.stderr.strip())}",
                where=self.url,
                cure="check the setting `project`, the network, and that git may read the repository",
            )

    def _mask(self, text: str) -> str:
        secret = urlsplit(self._secret).netloc.rpartition("@")[0] if "://" in self._secret else ""
        for part in sorted({secret, *secret.split(":", 1)}, key=len, reverse=True):
            text = text.replace(part, "***") if part and self._secret != self.url else text
        return text

    def _unknown(self, version: str) -> errors.BadInput:
        return errors.BadInput(
            f"the repository has no branch, tag or commit {version!r}",
            where=self.url,
            cure="set `version` to one that it has",
        )


@contextlib.contextmanager
def _workplace(parent: Path) -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _check_subfolder(copy: Path, subfolder: str, repository: str) -> None:
    path = (copy / subfolder).resolve()
    if not path.is_dir() or not path.is_relative_to(copy.resolve()):
        raise errors.BadInput(
            f"the repository has no folder {subfolder!r}",
            where=show(repository),
            cure="correct what follows `#` in the setting `project`",
        )


def _quote(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
