from __future__ import annotations

import hashlib
import resource
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from mlops_tasks import errors
from mlops_tasks.release import Release, Wheel
from mlops_tasks.steps import deploy
from mlops_tasks.stores import base as stores
from mlops_tasks.stores import choosing, folder
from tests.support.contexts import make_context
from tests.support.workspaces import Heard

START = Release(target="local", project="p", branch="main")


class NoStore(folder.FolderStore):
    def list_files(self, folder: str) -> dict[str, stores.Stored]:
        raise AssertionError(folder)


def make_wheel(top: Path, name: str = "mylib", content: bytes = b"wheel") -> Wheel:
    path = top / "dist" / f"{name}-1.0-py3-none-any.whl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    file = path.relative_to(top).as_posix()
    return Wheel(distribution=name, version="1.0", file=file, sha256=sha256, size=len(content))


def deploy_to(
    top: Path,
    *wheels: Wheel,
    where: str = "store/main/0123",
    store: folder.FolderStore | None = None,
    dry_run: bool = False,
) -> tuple[Release, Heard]:
    heard = Heard()
    context = make_context(top, report=heard, dry_run=dry_run, store=store or folder.FolderStore(top=top))
    return deploy.deploy_wheels(context, replace(START, wheels=wheels), where), heard


def test_the_wheels_are_where_the_record_says(tmp_path: Path) -> None:
    release, _ = deploy_to(tmp_path, make_wheel(tmp_path, "a"), make_wheel(tmp_path, "b", b"other"))

    assert release.deployed is not None
    assert [each.distribution for each in release.deployed] == ["a", "b"]
    assert (tmp_path / release.deployed[1].uri).read_bytes() == b"other"


def test_the_plan_is_said_before_the_first_byte_moves(tmp_path: Path) -> None:
    deploy_to(tmp_path, make_wheel(tmp_path, "a"))
    _, heard = deploy_to(tmp_path, make_wheel(tmp_path, "a"), make_wheel(tmp_path, "b", b"12345678"))

    assert heard.lines[:2] == [
        "unchanged  a-1.0-py3-none-any.whl",
        "to write   b-1.0-py3-none-any.whl (8 bytes)",
    ]
    assert heard.lines[-1] == "deploy: store/main/0123 (1 new, 1 kept)"


def test_an_unchanged_wheel_is_not_written_again(tmp_path: Path) -> None:
    release, _ = deploy_to(tmp_path, make_wheel(tmp_path))
    assert release.deployed is not None
    stored = tmp_path / release.deployed[0].uri
    before = stored.stat().st_mtime_ns

    again, _ = deploy_to(tmp_path, make_wheel(tmp_path))

    assert again == release
    assert stored.stat().st_mtime_ns == before


def test_other_content_under_the_same_name_is_never_overwritten(tmp_path: Path) -> None:
    release, _ = deploy_to(tmp_path, make_wheel(tmp_path))
    assert release.deployed is not None
    stored = tmp_path / release.deployed[0].uri
    stored.write_bytes(b"whee1")

    with pytest.raises(errors.WorkspaceError, match="not overwritten"):
        deploy_to(tmp_path, make_wheel(tmp_path))

    assert stored.read_bytes() == b"whee1"


def test_a_dry_run_writes_nothing_and_says_what_it_would(tmp_path: Path) -> None:
    release, heard = deploy_to(tmp_path, make_wheel(tmp_path), dry_run=True)

    assert not (tmp_path / "store").exists()
    assert release.deployed is not None
    assert heard.lines[-1] == "deploy: store/main/0123 (1 to write)"


def test_a_store_that_does_not_hold_what_was_written_is_found_out(tmp_path: Path) -> None:
    class Forgetful(folder.FolderStore):
        def list_files(self, folder: str) -> dict[str, stores.Stored]:
            return {}

    with pytest.raises(errors.WorkspaceError, match="does not hold what was written"):
        deploy_to(tmp_path, make_wheel(tmp_path), where="store", store=Forgetful(top=tmp_path))


def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("in the way")

    with pytest.raises(errors.WorkspaceError, match="a file stands where a folder should be"):
        deploy_to(tmp_path, make_wheel(tmp_path))


@pytest.fixture
def small_disk() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_no_half_a_wheel(tmp_path: Path, small_disk: None, request: pytest.FixtureRequest) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    wheel = make_wheel(tmp_path, content=b"x" * 100_000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    with pytest.raises(errors.WorkspaceError, match="no room"):
        deploy_to(tmp_path, wheel)

    assert [path.name for path in (tmp_path / "store").rglob("*") if path.is_file()] == []


def test_a_workspace_path_is_refused_on_the_local_target(tmp_path: Path) -> None:
    with pytest.raises(errors.BadInput, match="writes to none"):
        choosing.choose_local("dbfs:/wheels", top=tmp_path)


def test_a_wheel_that_is_gone_or_changed_is_not_written_under_the_name_of_its_content(tmp_path: Path) -> None:
    gone, changed = make_wheel(tmp_path, "gone"), make_wheel(tmp_path, "changed")
    (tmp_path / gone.file).unlink()
    (tmp_path / changed.file).write_bytes(b"other")

    with pytest.raises(errors.OutOfOrder, match="No such file"):
        deploy_to(tmp_path, gone)
    with pytest.raises(errors.OutOfOrder, match="not the one that was recorded"):
        deploy_to(tmp_path, changed)
    assert not (tmp_path / "store").exists()


LAPTOPS = [
    "dist/mylib-1.0-py3-none-any.whl",
    "{top}/dist/mylib-1.0-py3-none-any.whl",
    "file://{top}/dist/mylib-1.0-py3-none-any.whl",
    "FILE://{top}/dist/mylib-1.0-py3-none-any.whl",
    "file:dist/mylib-1.0-py3-none-any.whl",
    "~/dist/mylib-1.0-py3-none-any.whl",
]


@pytest.mark.parametrize("uri", LAPTOPS)
def test_a_laptops_wheel_is_never_named_to_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    top = tmp_path / "ada's wheels"
    make_wheel(top)
    monkeypatch.chdir(top)
    monkeypatch.setenv("HOME", str(top))
    named = uri.format(top=top if uri.startswith("{") else quote(str(top)))

    with pytest.raises(errors.BadInput, match="a run on Databricks cannot read it") as caught:
        deploy.name_given(make_context(top, target="databricks"), START, [named])

    assert caught.value.where == "--wheel-uri"
    *words, wheel = shlex.split(caught.value.cure.split("`")[1])
    assert words == ["inv", "name", "deploy", "--wheel"], "deploy alone would be refused"
    assert Path(wheel).is_file(), "the cure is the file's plain path"
    (given,) = deploy.name_given(make_context(top), START, [named])
    assert (given.uri, given.distribution) == ("dist/mylib-1.0-py3-none-any.whl", "mylib")


def test_a_laptops_wheel_that_is_not_there_is_said_to_be_none(tmp_path: Path) -> None:
    for target in ("local", "databricks"):
        with pytest.raises(errors.BadInput, match="there is no such wheel that can be read"):
            deploy.name_given(make_context(tmp_path, target=target), START, ["no/mylib-1.0-py3-none-any.whl"])


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("/dbfs/w/mylib-1.0-py3-none-any.whl", "dbfs:/w/mylib-1.0-py3-none-any.whl"),
        ("dbfs:/Volumes/a/b/c/mylib-1.0-py3-none-any.whl", "/Volumes/a/b/c/mylib-1.0-py3-none-any.whl"),
        ("/Workspace/w/mylib-1.0-py3-none-any.whl", "/Workspace/w/mylib-1.0-py3-none-any.whl"),
        ("https://host/mylib-1.0-py3-none-any.whl", "https://host/mylib-1.0-py3-none-any.whl"),
        ("https://host/mylib-1.0%2Bd1-py3-none-any.whl", "https://host/mylib-1.0%2Bd1-py3-none-any.whl"),
    ],
)
def test_a_wheel_on_a_cluster_may_be_given_as_patch_itself_writes_it(tmp_path: Path, uri: str, place: str) -> None:
    (given,) = deploy.name_given(make_context(tmp_path, target="databricks"), START, [uri])

    assert (given.uri, given.sha256) == (place, "")


@pytest.mark.parametrize("uri", ["/dbfs/w/mylib-1.0-py3-none-any.whl", "/Volumes/a/b/c/mylib-1.0-py3-none-any.whl"])
def test_a_wheel_in_a_workspace_is_refused_for_a_run_on_this_machine(tmp_path: Path, uri: str) -> None:
    with pytest.raises(errors.BadInput, match="a run on this machine cannot read it"):
        deploy.name_given(make_context(tmp_path), START, [uri])


def test_without_wheels_there_is_nothing_to_deploy_and_no_store_is_asked(tmp_path: Path) -> None:
    release, heard = deploy_to(tmp_path, store=NoStore(top=tmp_path))

    assert release.deployed == ()
    assert heard.lines == ["deploy: nothing to deploy: there are no wheels"]
    context = make_context(tmp_path, store=NoStore(top=tmp_path))
    assert deploy.deploy_digest(context, release, "store/main/0123") == release.digests["deploy"]


def test_a_wheel_s_uri_with_a_login_is_refused_and_the_login_not_shown(tmp_path: Path) -> None:
    with pytest.raises(errors.BadInput, match="a login stands in the URI") as caught:
        deploy.name_given(make_context(tmp_path), START, ["https://ada:pw@h/mylib-1.0-py3-none-any.whl"])
    assert "pw" not in str(caught.value.where)


@pytest.mark.parametrize("uri", ["http:/h/{}", "dbfs:wheels/{}", "/dbfs/../etc/{}", "s3://b/{}", "abfss://c@a/{}"])
@pytest.mark.parametrize("target", ["local", "databricks"])
def test_a_wheel_s_uri_that_no_installer_takes_is_refused_and_is_no_login(
    tmp_path: Path, uri: str, target: str
) -> None:
    name = "mylib-1.0-py3-none-any.whl"
    with pytest.raises(errors.BadInput, match=rf" \({name}\)") as caught:
        deploy.name_given(make_context(tmp_path, target=target), START, [uri.format(name)])
    assert "login" not in str(caught.value)
    assert caught.value.where == "--wheel-uri"


def test_a_login_in_a_uri_without_a_host_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(errors.BadInput, match="no host follows https://") as caught:
        deploy.name_given(make_context(tmp_path), START, ["https:/ada:pw@h/mylib-1.0-py3-none-any.whl"])
    assert "pw" not in f"{caught.value} {caught.value.where} {caught.value.cure}"
