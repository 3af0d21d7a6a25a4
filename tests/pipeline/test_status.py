"""How each step stands, and why: by the library's and the project's files, the settings, and what is gone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlops_tasks import ExitCode, Pipeline, ReleaseError, Settings
from mlops_tasks.pipeline import status
from mlops_tasks.pipeline.pipeline import STEPS
from mlops_tasks.pipeline.status import StepState
from mlops_tasks.release import Attempt, Checked, Release, Run
from mlops_tasks.report import Report
from tests.support.contexts import make_context
from tests.support.repositories import make_repository, put_back, write

MODULE = "libs/mylib/mylib/__init__.py"


@pytest.fixture(scope="module")
def patched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_repository(tmp_path_factory.mktemp("status") / "repository")
    for step in ("name", "build-wheel", "deploy", "patch"):
        make(folder).take(step)
    return folder


@pytest.fixture
def folder(patched: Path) -> Iterator[Path]:
    """The repository up to `patch`; what the test changes in it is put back."""
    with put_back(patched):
        yield patched


def make(folder: Path, **settings: Any) -> Pipeline:
    return Pipeline(folder, Settings(**{"project": "training", "libraries": ("libs/*",), **settings}))


def states(folder: Path, **settings: Any) -> dict[str, tuple[str, tuple[str, ...]]]:
    found = make(folder, **settings).show_status()
    return {each.step: (each.state, each.because) for each in found.steps}


def test_a_gate_that_was_not_met_is_named_with_the_run() -> None:
    gates = (Checked("auc > 1", met=False, value=0.5, bound=1.0, because="auc is 0.5"),)
    run = Run("abc", "1", "FINISHED", "local", "", "main", gates=gates)

    assert status._made("run", Release(target="local", project="p", branch="b", run=run)) == (
        "abc log -\ngate not met: auc > 1"
    )


SETS = {"dev": {}, "prod": {"branches": ["main"]}}


def make_for(folder: Path, environment: str | None, **more: Any) -> Pipeline:
    config = {"project": "training", "libraries": "libs/*", "environments": {**SETS, **more}}
    return Pipeline(folder, Settings.read(config=config, environ={}, flags={"env": environment}))


def test_an_environment_has_a_record_of_its_own_by_its_name(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "repository")

    plain, made = make_for(folder, None).take("name"), make_for(folder, "dev").take("name")

    assert (plain.environment, made.environment, made.target) == (None, "dev", "local")
    assert plain.digests != made.digests
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("release.json"))
    assert paths == [f".mlops/training/{each}/branches/main/release.json" for each in ("dev", "local")]
    assert "environment" not in (folder / paths[1]).read_text()


def test_the_last_release_to_each_environment_is_shown_where_several_have_one(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "repository")
    make_for(folder, "prod").take("name")
    assert make_for(folder, "prod").show_status().environments == ()
    make_for(folder, None).take("name")

    found = make_for(folder, "dev").show_status()

    assert [each[:2] for each in found.environments] == [("prod", "has not run"), ("local", "has not run")]
    assert found.to_dict()["environments"][0]["place"] == "/Shared/repository/training/main"
    assert make(folder).show_status().environments == ()


@pytest.mark.parametrize(
    ("seconds", "shown"), [(-5, "0 s ago"), (59, "59 s ago"), (150, "2 min ago"), (7300, "2 h ago"), (90000, "1 d ago")]
)
def test_an_age_is_told_in_its_largest_unit(seconds: float, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_000_000.0)

    assert status.show_age(1_000_000.0 - seconds) == shown


def test_a_run_that_may_go_on_in_another_environment_is_told_as_that(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "repository")
    for name in SETS:
        made = make_for(folder, name)
        release = made.take("name")
        left = Attempt(id="a1", run_id="r1", detached=name == "dev", url="https://x/1" if name == "dev" else "")
        made.context.record.save(replace(release, attempt=left))

    found = make_for(folder, None).show_status().environments

    assert [(each.state, each.place) for each in found] == [
        ("detached", "https://x/1"),
        ("cut off", "/Shared/repository/training/main"),
    ]


def test_another_target_of_an_environment_makes_its_names_stale(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "repository")
    root = {"wheel_root": "/Volumes/a/b/c"}
    make_for(folder, "dev").take("name")

    found = make_for(folder, "dev", dev={"target": "databricks", **root}).show_status()

    assert found.steps[0].state == "stale"
    assert set(found.steps[0].because) == {"the environment's target", "the wheel root"}


def test_the_wheel_root_of_an_environment_is_meant_for_that_and_the_files_is_not(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "repository")
    elsewhere = {"wheel_root": "/Volumes/a/b/c"}

    with pytest.raises(ReleaseError, match="/Volumes/a/b/c"):
        make_for(folder, "dev", dev=elsewhere).take("name")
    names = make_for(folder, "dev", dev={"extends": "base", "target": "local"}, base=elsewhere).take("name").names

    assert names is not None
    assert names.wheel_folder == ".mlops/workspace/wheels/repository/main"


def test_what_has_not_changed_is_up_to_date(folder: Path) -> None:
    found = make(folder).show_status()

    assert [str(each) for each in found.steps] == [*["up to date"] * 4, "has not run"]
    shown = found.to_dict()
    assert shown["steps"]["patch"] == {"state": "up to date"}
    assert shown["branch"] == "main"


def test_before_the_first_step_none_has_run(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "repository")

    shown = make(folder).show_status().to_dict()

    steps = ("name", "build-wheel", "deploy", "patch", "run")
    assert shown == {"steps": {step: {"state": "has not run"} for step in steps}}


def test_the_table_is_headed_by_the_branch_that_was_asked_for(folder: Path) -> None:
    titles: list[str] = []

    class Headed(Report):
        def table(
            self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = False
        ) -> None:
            titles.append(title)

    for branch in ("new", "main"):
        settings = Settings(project="training", libraries=("libs/*",), branch=branch)
        Pipeline(folder, settings, report=Headed()).show_status()

    assert titles == ["training on local, branch new", "training on local, branch main"]


def test_the_files_that_made_a_step_stale_are_named_and_later_steps_stand_behind_it(folder: Path) -> None:
    write(folder, {MODULE: "ANSWER = 43\n", "libs/mylib/mylib/more.py": ""})
    (folder / "libs" / "mylib" / "pyproject.toml").rename(folder / "libs" / "mylib" / "setup.py")

    found = states(folder)

    changed = (
        MODULE,
        "libs/mylib/mylib/more.py (new)",
        "libs/mylib/setup.py (new)",
        "libs/mylib/pyproject.toml (gone)",
    )
    assert found["build-wheel"] == ("stale", changed)
    assert found["deploy"] == found["patch"] == ("behind", ("build-wheel",))


def test_the_refusal_of_a_later_step_names_them_too(folder: Path) -> None:
    write(folder, {"training/train.py": "print('another')\n"})

    with pytest.raises(ReleaseError, match=r"^changed since patch ran: training/train\.py\n"):
        make(folder).take("run")


@pytest.mark.parametrize(
    ("settings", "step", "because"),
    [
        ({"placeholder": "OTHER"}, "patch", "the setting placeholder"),
        ({"workers": True}, "patch", "the setting workers"),
        ({"experiment": "/Shared/mine/{branch}"}, "name", "the setting experiment"),
        ({"local_version": True}, "build-wheel", "the local version of libs/mylib"),
    ],
)
def test_a_setting_that_made_a_step_stale_is_named(
    folder: Path, settings: dict[str, Any], step: str, because: str
) -> None:
    assert states(folder, **settings)[step] == ("stale", (because,))


@pytest.mark.parametrize(("place", "step"), [("wheels", "build-wheel"), ("workspace", "deploy")])
def test_what_is_gone_from_the_disk_is_not_up_to_date(folder: Path, place: str, step: str) -> None:
    shutil.rmtree(folder / ".mlops" / place)

    state, (because,) = states(folder)[step]

    assert state == "stale"
    assert because.endswith("mylib-1.0-py3-none-any.whl (gone)")


def test_a_wheel_that_was_built_again_is_what_makes_deploy_stale(folder: Path) -> None:
    write(folder, {MODULE: "ANSWER = 43\n"})
    make(folder).take("build-wheel")

    assert states(folder)["deploy"] == ("stale", ("the wheel of mylib",))


def test_a_staged_copy_that_was_changed_is_named(folder: Path) -> None:
    (copy,) = (folder / ".mlops").glob("*/local/staged/*/training")
    (copy / "train.py").write_text("")

    assert states(folder)["patch"] == ("stale", (str(copy.relative_to(folder)),))


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_dry_run_too_is_refused_without_the_staged_copy_as_patch_left_it(folder: Path, *, is_gone: bool) -> None:
    (copy,) = (folder / ".mlops").glob("*/local/staged/*/training")
    if is_gone:
        shutil.rmtree(copy.parent.parent)
    else:
        (copy / "train.py").unlink()
    settings = Settings(project="training", libraries=("libs/*",))

    with pytest.raises(ReleaseError) as caught:
        Pipeline(folder, settings, dry_run=True).take("run")

    assert caught.value.exit_code == ExitCode.OUT_OF_ORDER
    how = " (gone)" if is_gone else ""
    assert caught.value.what == f"changed since patch ran: {copy.relative_to(folder)}{how}"
    assert caught.value.cure.startswith("`inv patch`")


def test_where_it_is_not_known_what_changed_the_step_is_stale_all_the_same(folder: Path) -> None:
    next((folder / ".mlops").rglob("inputs.json")).write_text("[")
    write(folder, {MODULE: "ANSWER = 43\n"})

    assert states(folder)["build-wheel"] == ("stale", ())
    with pytest.raises(ReleaseError, match=r"the libraries' files .* changed since build-wheel ran"):
        make(folder).take("deploy")


def test_only_a_release_that_has_run_and_still_holds_passes_the_check(folder: Path) -> None:
    write(folder, {MODULE: "ANSWER = 43\n"})
    found = make(folder).show_status()

    with pytest.raises(ReleaseError, match=f"not released as it is: build-wheel stale \\({MODULE}\\)") as caught:
        found.check()

    assert caught.value.exit_code == ExitCode.OUT_OF_ORDER
    assert "`inv build-wheel deploy patch run`" in caught.value.cure
    assert caught.value.beside == found.to_dict()
    found._replace(steps=(StepState("patch", "by hand"), StepState("run", "FINISHED"))).check()
    with pytest.raises(ReleaseError, match="run FAILED"):
        found._replace(steps=(StepState("run", "FAILED"),)).check()


def finish(folder: Path, patch: str) -> None:
    """Record a run that finished, of the staged project with that digest."""
    record = make(folder).context.record
    release = record.load()
    assert release is not None
    run = Run(run_id="r1", experiment_id="1", status="FINISHED", backend="local", url="", entry_point="main")
    attempt = Attempt(id="a1", run_id="r1", ended=True, patch=patch or release.digests["patch"])
    record.save(replace(release, run=run, attempt=attempt))


def test_a_run_holds_as_long_as_the_project_that_ran_is_the_one_that_is_staged(folder: Path) -> None:
    finish(folder, "")
    assert states(folder)["run"] == ("FINISHED", ())
    make(folder).show_status().check()

    write(folder, {"training/train.py": "print('another')\n"})
    found = make(folder).show_status()

    assert states(folder)["run"] == ("behind", ("patch",))
    assert found.steps[-1].made.startswith("FINISHED r1 ")
    with pytest.raises(ReleaseError) as caught:
        found.check()
    assert "`inv patch run`" in caught.value.cure

    make(folder).take("patch")
    assert states(folder)["run"] == ("stale", ("the staged project",))

    write(folder, {MODULE: "ANSWER = 43\n"})
    assert states(folder)["run"] == ("behind", ("build-wheel",))


@pytest.mark.parametrize(
    ("changed", "is_remote", "state", "made"),
    [
        pytest.param(
            {"run_id": "r1", "url": "https://x/1"}, True, "cut off, and may go on", "r1\nhttps://x/1", id="run"
        ),
        pytest.param(
            {"sent": True}, True, "cut off, and may go on", "perhaps a job run with a1 in its name", id="sent"
        ),
        pytest.param({"sent": False}, True, "cut off, and may go on", "", id="not sent"),
        pytest.param({}, False, "cut off", "", id="here"),
        pytest.param({"run_id": "r1", "detached": True}, True, "detached", "r1", id="detached"),
    ],
)
def test_an_attempt_that_nobody_follows_is_shown_with_what_may_be_left_of_it(
    tmp_path: Path, changed: dict[str, Any], is_remote: bool, state: str, made: str
) -> None:
    (tmp_path / "p").mkdir()
    context = make_context(tmp_path)
    vars(context)["target"] = replace(context.target, is_remote=is_remote)  # type: ignore[type-var]
    release = Release(target="local", project="p", branch="main", attempt=Attempt(id="a1", **changed))

    found = status.show_status(context, STEPS, release).steps[-1]

    assert (found.state, found.made) == (state, made)
