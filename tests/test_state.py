from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from mlops_tasks import locks, processes, state
from mlops_tasks.backends.local import environment
from mlops_tasks.report import Report
from tests.support.repositories import git, write
from tests.support.tiny_wheels import make_index


def test_the_folder_ignores_itself(tmp_path: Path) -> None:
    git("init", "-q", cwd=tmp_path)

    state.StateFolder(tmp_path).create()
    state.StateFolder(tmp_path).create()

    assert git("status", "--porcelain", cwd=tmp_path) == ""


def make_aged(folder: Path, count: int, *, suffix: str = "", first: int = 0) -> list[Path]:
    """`count` entries with names like a digest's, the first one the oldest."""
    paths = [folder / f"{number:016x}{suffix}" for number in range(first, first + count)]
    for age, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch() if suffix else path.mkdir()
        os.utime(path, (age, age))
    return paths


def test_pruning_keeps_the_newest_and_what_is_in_use(tmp_path: Path) -> None:
    places = state.StateFolder(tmp_path)
    staged = tmp_path / "record" / "staged"
    copies = make_aged(staged, state.KEPT + 3)
    logs = make_aged(tmp_path / "record" / "runs", state.KEPT + 2, suffix=".log")
    (staged / ".git").mkdir()

    places.prune(tmp_path / "record", keep=copies[0] / "training")

    assert sorted(staged.iterdir()) == sorted([staged / ".git", copies[0], *copies[3:]])
    assert sorted((tmp_path / "record" / "runs").iterdir()) == logs[2:]


def test_pruning_spares_what_a_record_names_and_what_was_just_used(tmp_path: Path) -> None:
    places = state.StateFolder(tmp_path)
    wheels = make_aged(places.wheels, state.KEPT + 3)
    deployed = make_aged(places.store / "repository" / "main", state.KEPT + 3, first=100)
    os.utime(wheels[1])
    main = {"training/local/branches/main/release.json": f'{{"file": ".mlops/wheels/{wheels[0].name}/a.whl"}}'}
    run = {"training/local/runs/r.json": f'{{"uri": ".mlops/workspace/wheels/repository/main/{deployed[2].name}/a"}}'}
    write(places.folder, main | run)

    places.prune(places.release_folder("other", "local"))

    assert sorted(places.wheels.iterdir()) == sorted({wheels[0], wheels[1], *wheels[4:]})
    assert sorted((places.store / "repository" / "main").iterdir()) == deployed[2:]


def test_of_all_that_just_was_used_nothing_is_pruned(tmp_path: Path) -> None:
    """Somebody may be at work with it who has not recorded it yet."""
    places = state.StateFolder(tmp_path)
    for path in (wheels := make_aged(places.wheels, state.KEPT + 3)):
        os.utime(path)

    places.prune(tmp_path / "record")

    assert sorted(places.wheels.iterdir()) == wheels


def test_fetched_projects_and_records_of_runs_are_pruned_too(tmp_path: Path) -> None:
    places = state.StateFolder(tmp_path)
    fetched = [path.rename(f"{path}{'0' * 24}") for path in make_aged(places.fetched / "training", state.KEPT + 2)]
    records = make_aged(tmp_path / "record" / "runs", state.KEPT_RECORDS + 2, suffix=".json")

    places.prune(tmp_path / "record")

    assert sorted((places.fetched / "training").iterdir()) == fetched[2:]
    assert sorted((tmp_path / "record" / "runs").iterdir()) == records[2:]


@pytest.mark.parametrize("prefix", [".new-", ".run-"])
def test_what_a_killed_process_left_is_swept_and_what_a_living_one_works_in_is_not(tmp_path: Path, prefix: str) -> None:
    places = state.StateFolder(tmp_path)
    staged = places.release_folder("training", "local") / "staged"
    child = os.fork()
    if child == 0:
        with locks.workplace(staged, prefix=prefix):
            os._exit(9)
    os.waitpid(child, 0)
    (left,) = staged.iterdir()
    os.utime(left, (0, 0))

    with locks.workplace(staged, prefix=prefix) as used:
        os.utime(used, (0, 0))
        places.prune(places.release_folder("training", "local"))
        assert list(staged.iterdir()) == [used]


def test_copies_that_killed_submits_left_are_swept_but_for_the_recorded_attempts(tmp_path: Path) -> None:
    places = state.StateFolder(tmp_path)
    attempts = places.release_folder("training", "databricks") / "attempts"
    left, resumable, begun = make_aged(attempts, 3)
    os.utime(begun)
    write(left, {"training/MLproject": ""})
    os.utime(left, (0, 0))
    (attempts / ".git").mkdir()
    write(attempts.parent, {"branches/main/release.json": f'{{"attempt": {{"id": "{resumable.name}"}}}}'})

    places.prune(attempts.parent)

    assert sorted(attempts.iterdir()) == sorted([attempts / ".git", resumable, begun])


def test_files_that_were_cut_off_long_ago_are_swept(tmp_path: Path) -> None:
    write(tmp_path / "record", {f"{name}.0a1b.part": "{" for name in ("branches/main/.release.json", "runs/.r.json")})
    write(tmp_path / "record", {"branches/main/release.json": "{}"})
    for path in (tmp_path / "record").rglob("*.*"):
        os.utime(path, (0, 0))

    state.StateFolder(tmp_path).prune(tmp_path / "record")

    assert [path.name for path in (tmp_path / "record").rglob("*.*")] == ["release.json"]


def test_records_of_branches_make_room_but_for_one_that_is_used_or_whose_run_may_go_on(tmp_path: Path) -> None:
    branches = tmp_path / "branches"
    made = [branches / f"branch-{number}" for number in range(state.KEPT_RECORDS + 3)]
    for age, branch in enumerate(made):
        write(branch, {"release.json": '{"attempt": {"ended": false}}' if age == 0 else "{}", "lock": ""})
        os.utime(branch, (age, age))

    with locks.held(made[1] / "lock", "test"):
        os.utime(made[1], (1, 1))
        state.StateFolder(tmp_path).prune(tmp_path)

    assert sorted(set(made) - set(branches.iterdir())) == [made[2]]


def test_what_an_open_attempt_names_stays_and_so_does_its_branch(tmp_path: Path) -> None:
    places = state.StateFolder(tmp_path)
    release = places.release_folder("training", "databricks")
    named, *copies = make_aged(release / "staged", state.KEPT + 3)
    branches = [release / "branches" / f"branch-{number}" for number in range(state.KEPT_RECORDS + 2)]
    for age, branch in enumerate(branches):
        write(branch, {"release.json": "{}"})
        if age == 0:
            write(branch, {"attempts/0123.json": f'{{"patched": "{named.name}"}}', "attempts/0123.lock": ""})
        os.utime(branch, (age, age))

    places.prune(release)

    assert sorted((release / "staged").iterdir()) == [named, *copies[2:]]
    assert sorted(set(branches) - set((release / "branches").iterdir())) == [branches[1]]


def test_attempts_that_were_never_sent_make_room_with_their_locks_and_so_do_locks_of_ended_ones(tmp_path: Path) -> None:
    attempts = tmp_path / "branches" / "main" / "attempts"
    sent = {"open": '"sent": true', "unsent": '"sent": false', "held": '"sent": false', "young": '"sent": false'}
    write(attempts, {f"{name}.json": text for name, text in sent.items()})
    write(attempts, {f"{name}.lock": "" for name in (*sent, "ended")})
    for path in attempts.glob("*.lock"):
        os.utime(path, (0, 0) if path.stem != "young" else None)

    with locks.held(attempts / "held.lock", "run"):
        os.utime(attempts / "held.lock", (0, 0))
        state.StateFolder(tmp_path).prune(tmp_path)

    assert {path.name for path in attempts.iterdir()} == {
        f"{name}.{end}" for name in ("open", "held", "young") for end in ("json", "lock")
    }


def test_a_workplace_that_was_just_made_may_not_be_locked_yet(tmp_path: Path) -> None:
    places = state.StateFolder(tmp_path)
    (tmp_path / "record" / "staged" / ".new-0").mkdir(parents=True)

    places.prune(tmp_path / "record")

    assert (tmp_path / "record" / "staged" / ".new-0").exists()


def test_pruning_may_meet_somebody_elses(tmp_path: Path) -> None:
    assert state.last_used(tmp_path / "gone") == 0


def test_an_environment_that_was_not_used_for_longest_makes_room_for_new_ones(tmp_path: Path) -> None:
    old = make_aged(tmp_path, state.KEPT + 1)

    settings = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(make_index(tmp_path / "index", "mlflow 3.1"))}
    wanted = environment.Wanted(lines=(), mlflow="3.1", project=tmp_path, source=tmp_path / "env.yaml")
    with environment.built(
        wanted, folder=tmp_path, environ=settings, run=processes.run_command, report=Report()
    ) as path:
        assert (path / "bin" / "python").exists()

    assert not old[0].exists()
    assert not old[1].exists()
    assert old[2].exists()
    assert [each.stem for each in tmp_path.glob("*.lock")] == [path.name]


def test_who_has_a_home_keeps_it(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "A": "b"}

    assert state.StateFolder(tmp_path).complete(environ) == environ


def test_where_uv_can_have_no_cache_it_has_one_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    places = state.StateFolder(tmp_path)
    own = {"UV_CACHE_DIR": "/mine"}

    found = places.complete({"HOME": str(tmp_path / "file" / "nowhere")})

    assert found["UV_CACHE_DIR"] == str(tmp_path / ".mlops" / "cache")
    assert places.complete({"HOME": str(tmp_path / "file")} | own)["UV_CACHE_DIR"] == "/mine"
    assert "UV_CACHE_DIR" not in places.complete({"HOME": "/nowhere", "XDG_CACHE_HOME": str(tmp_path)})


def test_a_user_without_a_home_has_one_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)

    assert state.StateFolder(tmp_path).complete({})["HOME"] == str(tmp_path / ".mlops" / "home")
