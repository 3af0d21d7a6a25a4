from __future__ import annotations

import base64
import concurrent.futures
import functools
import http.server
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from mlops_tasks import errors, processes
from mlops_tasks.project import fetching

Git = Callable[..., str]


@pytest.fixture
def repository(tmp_path: Path, git: Git) -> Path:
    """Two commits: the first is tagged `v1`, the second is on main; `topic` is a branch from the first."""
    origin = tmp_path / "origin"
    (origin / "sub").mkdir(parents=True)
    git("init", "-q", cwd=origin)
    for version, text in (("v1", "one"), ("main", "two")):
        (origin / "sub" / "MLproject").write_text(text)
        git("add", ".", cwd=origin)
        git("commit", "-qm", version, cwd=origin)
        if version == "v1":
            git("tag", "-a", "v1", "-m", "v1", cwd=origin)
            git("branch", "topic", cwd=origin)
    return origin


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fetch(uri: str, into: Path, version: str | None = None, run: processes.Runner = processes.run_command) -> Path:
    return fetching.fetch(uri, version=version, into=into, runner=run)


@pytest.mark.parametrize(
    "uri",
    ["https://h/a/b", "https://u:p@h/a#sub", "git@h:a/b.git", "ssh://git@h/a", "file:///a/b#c", "http://h/a"],
)
def test_a_git_uri_is_told_from_a_folder(uri: str) -> None:
    assert fetching.is_uri(uri)
    assert not fetching.is_uri(uri.rsplit("/", 1)[-1] if "//" in uri else f"./{uri}")


@pytest.mark.parametrize(
    ("version", "text"), [(None, "two"), ("main", "two"), ("v1", "one"), ("topic", "one"), ("v1^{}", "one")]
)
def test_a_branch_a_tag_or_a_commit_is_fetched(
    tmp_path: Path, git: Git, repository: Path, version: str | None, text: str
) -> None:
    wanted = git("rev-parse", version, cwd=repository) if version == "v1^{}" else version
    for asked in {wanted, wanted[:9] if version == "v1^{}" and wanted else wanted}:
        folder = fetch(f"file://{repository}#sub", tmp_path / "into", asked)
        commit = git("rev-parse", f"{asked or 'HEAD'}^{{commit}}", cwd=repository)
        assert folder == tmp_path / "into" / commit / "into" / "sub"
        assert (folder / "MLproject").read_text() == text
        assert names_in(folder.parent) == [".git", "sub"]
        assert names_in(tmp_path / "into") == [commit]


def test_what_was_fetched_once_stays_as_it_is(tmp_path: Path, repository: Path, git: Git) -> None:
    first = fetch(f"file://{repository}", tmp_path / "into")
    inode = first.stat().st_ino
    (repository / "sub" / "MLproject").write_text("three")
    git("commit", "-qam", "three", cwd=repository)

    later = fetch(f"file://{repository}", tmp_path / "into")
    again = fetch(f"file://{repository}", tmp_path / "into", git("rev-parse", "HEAD^", cwd=repository))

    assert [(each / "sub" / "MLproject").read_text() for each in (first, later, again)] == ["two", "three", "two"]
    assert (again, again.stat().st_ino) == (first, inode)


@pytest.mark.parametrize("subfolder", ["", "sub", "sub/shared/inner"])
def test_a_projects_own_submodules_come_with_it_and_no_others(
    tmp_path: Path, repository: Path, git: Git, subfolder: str
) -> None:
    allow = ("-c", "protocol.file.allow=always")
    for name in ("other", "shared"):
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "inner" / "a.py").write_text("A = 1\n")
        git("init", "-q", cwd=tmp_path / name)
        git("add", ".", cwd=tmp_path / name)
        git("commit", "-qm", "inner", cwd=tmp_path / name)
    git(*allow, "submodule", "--quiet", "add", "../shared", "sub/shared", cwd=repository)  # from beside the repository
    git(*allow, "submodule", "--quiet", "add", str(tmp_path / "other"), "other", cwd=repository)
    git("commit", "-qm", "submodules", cwd=repository)

    folder = fetch(f"file://{repository}#{subfolder}", tmp_path / "into")

    (top,) = (tmp_path / "into").glob("*/into")
    assert (top / "sub" / "shared" / "inner" / "a.py").is_file()
    assert (top / "other" / "inner").is_dir() == (not subfolder)
    assert folder == top / subfolder


def test_many_may_fetch_at_once(tmp_path: Path, repository: Path) -> None:
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        found = set(pool.map(lambda _: fetch(f"file://{repository}#sub", tmp_path / "into"), range(6)))

    (folder,) = found
    assert (folder / "MLproject").read_text() == "two"
    assert len(names_in(tmp_path / "into")) == 1


@pytest.mark.parametrize("version", ["nowhere", "0123456789abcdef", "--upload-pack=touch x", "v1; touch x"])
def test_an_unknown_version_is_refused(tmp_path: Path, repository: Path, version: str) -> None:
    with pytest.raises(errors.BadInput, match="has no branch, tag or commit"):
        fetch(f"file://{repository}", tmp_path / "into", version)
    assert not list((tmp_path / "into").glob("*"))


@pytest.mark.parametrize("subfolder", ["none", "../..", "sub/MLproject"])
def test_a_subfolder_that_is_not_there_is_refused(tmp_path: Path, repository: Path, subfolder: str) -> None:
    with pytest.raises(errors.BadInput, match="no folder"):
        fetch(f"file://{repository}#{subfolder}", tmp_path / "into")


def test_a_repository_that_cannot_be_reached_is_said(tmp_path: Path) -> None:
    with pytest.raises(errors.StepFailed, match="cannot fetch"):
        fetch(f"file://{tmp_path}/none", tmp_path / "into")


def test_an_empty_repository_has_no_version(tmp_path: Path, git: Git) -> None:
    git("init", "-q", "--bare", "empty")
    with pytest.raises(errors.BadInput, match="HEAD"):
        fetch(f"file://{tmp_path}/empty", tmp_path / "into")


def test_a_missing_git_is_said(tmp_path: Path) -> None:
    def missing(
        command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> processes.Completed:
        raise FileNotFoundError(command[0])

    with pytest.raises(errors.StepFailed, match="install git"):
        fetch("https://h/a", tmp_path / "into", run=missing)


def test_a_full_disk_is_said(tmp_path: Path, repository: Path) -> None:
    def full(
        command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> processes.Completed:
        if "fetch" in command:
            return processes.Completed(command, 128, "", "fatal: write error: No space left on device")
        return processes.run_command(command, cwd=cwd, env=env)

    with pytest.raises(errors.StepFailed, match="cannot fetch") as caught:
        fetch(f"file://{repository}", tmp_path / "into", run=full)
    assert caught.value.cure == "make room, then repeat"


class Guarded(http.server.SimpleHTTPRequestHandler):
    """Files for whoever knows the password: git's plain HTTP transport needs no more of a server."""

    def do_GET(self) -> None:
        if self.headers.get("Authorization") == "Basic " + base64.b64encode(b"ada:s3cr%t").decode():
            super().do_GET()
            return
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.end_headers()

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Nobody reads it."""


@pytest.fixture
def guarded(tmp_path: Path, git: Git, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server that has the repository as `origin.git`."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    git("clone", "-q", "--bare", str(repository), "served/origin.git")
    git("update-server-info", cwd=tmp_path / "served" / "origin.git")
    handler = functools.partial(Guarded, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_password_opens_the_repository_and_stays_nowhere(tmp_path: Path, guarded: str) -> None:
    commands: list[str] = []
    kept: list[Path] = []

    def watch(
        command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> processes.Completed:
        commands.append(" ".join(command))
        done = processes.run_command(command, cwd=cwd, env=env)
        kept.extend(path for path in tmp_path.rglob("*") if path.is_file() and b"s3cr" in path.read_bytes())
        return done

    folder = fetch(f"http://ada:s3cr%25t@{guarded}/origin.git#sub", tmp_path / "into", "v1", watch)
    assert (folder / "MLproject").read_text() == "one"
    assert "s3cr" not in "".join(commands)
    assert kept == []


def test_a_password_is_given_to_nobody_elses_program(
    tmp_path: Path, guarded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A helper of the user's own would be asked first, and told to keep what opened the repository."""
    config = tmp_path / "gitconfig"
    config.write_text(f'[credential]\n\thelper = store --file={tmp_path}/kept\n[credential "http://{guarded}"]\n')
    with config.open("a") as stream:
        stream.write(f"\thelper = store --file={tmp_path}/kept\n\tusername = somebody\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    (tmp_path / "kept").write_text(f"http://ada:wr0ng@{guarded}\n")

    fetch(f"http://ada:s3cr%25t@{guarded}/origin.git", tmp_path / "into")

    assert "s3cr" not in (tmp_path / "kept").read_text()


def test_a_wrong_password_is_said_without_showing_it(tmp_path: Path, guarded: str) -> None:
    with pytest.raises(errors.StepFailed, match="cannot fetch") as caught:
        fetch(f"http://ada:wr0ng@{guarded}/origin.git", tmp_path / "into")
    assert "wr0ng" not in str(caught.value)
