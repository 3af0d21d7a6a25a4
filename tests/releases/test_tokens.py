"""No credential leaves the place where it belongs, wherever a release writes, prints, sends or starts something."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.fake_workspace.mlflow_server import MlflowServer
from tests.fake_workspace.runs import SUCCESS, Mode
from tests.support import sites
from tests.support.repositories import git

pytest_plugins = ["tests.fake_workspace.fixture"]

PASSWORD = "glcbt-64_hidden-in-the-remote"


@contextmanager
def command_lines() -> Iterator[set[bytes]]:
    """Those of all processes that are seen meanwhile."""
    seen: set[bytes] = set()
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(0.005):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):  # it has ended
                    seen.add(path.read_bytes())

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        is_over.set()
        watcher.join()


def holding(folder: Path, secret: str) -> list[Path]:
    """The files in `folder` that hold `secret`, packed ones looked into."""
    found = []
    for path in (each for each in folder.rglob("*") if each.is_file()):
        data = path.read_bytes()
        data += gzip.decompress(data) if path.name.endswith(".tar.gz") else b""
        if secret.encode() in data:
            found.append(path)
    return found


def test_a_release_tells_no_credential_to_anybody(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    with sites.opened(tmp_path / "repository", mlflow_server) as site:
        git("remote", "add", "origin", f"https://gitlab-ci-token:{PASSWORD}@example.com/ada/repo.git", cwd=site.folder)
        site.workspace.jobs.mode = Mode(ending=SUCCESS)
        with command_lines() as lines:
            process = site.start("release", "--verbose")
            out, err = process.communicate()
        assert process.returncode == 0, err
        run = site.mlflow_run(site.record["run"]["run_id"])
        artifacts = site.workspace.root
        bodies = [str((entry.target, entry.headers, entry.json)) for entry in site.workspace.requests]

        assert any(b"release\0--verbose" in line for line in lines)
        assert len(bodies) > 30
        assert len(holding(site.folder / ".mlops", "training")) > 3
        assert holding(artifacts / "dbfs", "mlops_driver") != []
        for secret in (PASSWORD, site.workspace.token):
            assert secret not in out + err
            assert [line for line in lines if secret.encode() in line] == []
            assert [body for body in bodies if secret in body] == []
            assert secret not in str(run)
            assert holding(site.folder / ".mlops", secret) == []
            assert [path for path in holding(artifacts, secret) if "clusters" not in path.parts] == []
