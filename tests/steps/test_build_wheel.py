from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uv

from mlops_tasks import errors, files
from mlops_tasks.release import Release, Wheel
from mlops_tasks.report import Report
from mlops_tasks.steps import build_wheel
from mlops_tasks.wheels import metadata
from tests.support.contexts import make_context
from tests.support.repositories import HATCHLING, commit, git, make_library, write

SETUPTOOLS = 'requires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
FLIT = 'requires = ["flit_core"]\nbuild-backend = "flit_core.buildapi"\n'
POETRY = 'requires = ["poetry-core"]\nbuild-backend = "poetry.core.masonry.api"\n'
PDM = 'requires = ["pdm-backend"]\nbuild-backend = "pdm.backend"\n'
UV = 'requires = ["uv_build"]\nbuild-backend = "uv_build"\n\n[tool.uv.build-backend]\nmodule-root = ""\n'


NOTHING = Release(target="local", project="p", branch="main")


class Heard(Report):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def step(self, name: str, made: str) -> None:
        self.lines.extend(made.splitlines())

    def detail(self, text: str) -> None:
        self.lines.append(text)

    def warning(self, text: str) -> None:
        self.lines.append(f"warning: {text}")


def build(
    top: Path,
    *libraries: Path,
    before: Release | None = None,
    heard: Heard | None = None,
    **settings: Any,
) -> Release:
    named = tuple(str(library) for library in libraries)
    context = make_context(top, report=heard, libraries=named, **settings)
    return build_wheel.build_wheels(context, before or NOTHING)


def wheels_of(release: Release) -> tuple[Wheel, ...]:
    assert release.wheels is not None
    return release.wheels


def names_in(top: Path, wheel: Wheel) -> list[str]:
    return zipfile.ZipFile(top / wheel.file).namelist()


def test_a_wheel_is_built_and_recorded_with_what_it_is(tmp_path: Path) -> None:
    library = make_library(tmp_path)
    commit(tmp_path)

    (wheel,) = wheels_of(build(tmp_path, library))

    assert (wheel.distribution, wheel.version, wheel.library) == ("mylib", "1.0", "libs/mylib")
    assert wheel.generator.startswith("hatchling ")
    assert wheel.file.startswith(f".mlops/wheels/{wheel.sha256[:16]}/")
    assert "mylib/__init__.py" in names_in(tmp_path, wheel)
    assert git("status", "--porcelain", cwd=tmp_path) == "?? .mlops/"


def test_only_what_changed_is_built_again(tmp_path: Path) -> None:
    one, other = make_library(tmp_path, "one"), make_library(tmp_path, "other")
    first = build(tmp_path, one, other)
    (other / "other" / "__init__.py").write_text("A = 2\n")
    heard = Heard()

    second = build(tmp_path, one, other, before=first, heard=heard)

    assert [line.rpartition(", ")[2] for line in heard.lines] == ["up to date)", "built)"]
    assert wheels_of(second)[0] == wheels_of(first)[0]
    assert wheels_of(second)[1].sha256 != wheels_of(first)[1].sha256
    assert second.digests != first.digests


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_text("spoilt")], ids=["gone", "spoilt"])
def test_a_recorded_wheel_that_is_gone_or_spoilt_is_built_again(tmp_path: Path, harm: Callable[[Path], Any]) -> None:
    library = make_library(tmp_path)
    first = build(tmp_path, library)
    kept = tmp_path / wheels_of(first)[0].file
    harm(kept)

    second = build(tmp_path, library, before=first)

    assert second == first
    assert files.file_sha256(kept) == wheels_of(first)[0].sha256


def test_a_recorded_wheel_that_is_gone_makes_build_wheel_stale(tmp_path: Path) -> None:
    library = make_library(tmp_path)
    context = make_context(tmp_path, libraries=(str(library),))
    made = build_wheel.build_wheels(context, NOTHING)
    assert build_wheel.build_digest(context, made) == made.digests["build-wheel"]

    (tmp_path / wheels_of(made)[0].file).unlink()

    assert build_wheel.build_digest(context, made) != made.digests["build-wheel"]


NUMBERED = """\
import os
from setuptools import setup

setup(name="mylib", version="1.0." + os.environ["BUILD_NUMBER"], packages=["mylib"])
"""


def test_a_version_may_come_from_a_variable_and_moves_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"libs/mylib/setup.py": NUMBERED, "libs/mylib/mylib/__init__.py": ""})
    library = tmp_path / "libs" / "mylib"
    monkeypatch.setenv("BUILD_NUMBER", "7")
    first = build(tmp_path, library)

    monkeypatch.setenv("BUILD_NUMBER", "8")
    second = build(tmp_path, library, before=first)

    assert [wheels_of(each)[0].version for each in (first, second)] == ["1.0.7", "1.0.8"]


WARNING = """\
import os, sys
from setuptools import setup

print(f"{__file__}:1: UserWarning: {os.getcwd()} is shallow", file=sys.stderr)
setup(name="mylib", version="1.0", packages=["mylib"])
"""


def test_what_the_backend_warns_of_and_what_git_ignores_is_said_with_the_users_own_paths(tmp_path: Path) -> None:
    write(tmp_path, {"libs/mylib/setup.py": WARNING, "libs/mylib/mylib/__init__.py": "", ".gitignore": "*_pb2.py\n"})
    commit(tmp_path)
    write(tmp_path, {"libs/mylib/mylib/a_pb2.py": ""})
    heard, brought = Heard(), Heard()
    library = tmp_path / "libs" / "mylib"

    first = build(tmp_path, library, heard=heard)
    second = build(tmp_path, library, before=first, heard=brought, include=("mylib/a_pb2.py",))

    cure = "`include: [mylib/a_pb2.py]` in the settings (it counts from libs/mylib), or `git add --force` it"
    assert heard.lines[:2] == [
        f"warning: git ignores libs/mylib/mylib/a_pb2.py, so the wheel has no such file: {cure}",
        f"warning: mylib: the build says UserWarning: {library} is shallow",
    ]
    assert not [line for line in brought.lines if "git ignores" in line]
    held = ["mylib/a_pb2.py" in names_in(tmp_path, wheels_of(each)[0]) for each in (first, second)]
    assert held == [False, True]


def test_a_wheel_with_none_of_the_librarys_modules_is_told(tmp_path: Path) -> None:
    library = make_library(tmp_path, system=SETUPTOOLS, project="[tool.setuptools]\npackages = []\n")
    heard = Heard()

    build(tmp_path, library, heard=heard)

    said = "mylib-1.0-py3-none-any.whl has none of the modules of libs/mylib"
    assert f"warning: {said}: say in its pyproject.toml where its packages are" in heard.lines


def test_a_module_that_does_not_compile_is_refused_with_its_line(tmp_path: Path) -> None:
    library = make_library(tmp_path, module="A = 1\ndef f(:\n")

    with pytest.raises(errors.BadInput, match="a module of the library mylib does not compile") as caught:
        build(tmp_path, library)

    assert caught.value.where == f"{library / 'mylib' / '__init__.py'}:2"


def test_one_that_a_cluster_runs_is_left_to_the_doctor_which_asks_by_the_clusters_python(tmp_path: Path) -> None:
    library = make_library(tmp_path, module="A = 1\ndef f(:\n")

    assert len(wheels_of(build(tmp_path, library, target="databricks"))) == 1


BY_PATH = """dependencies = ["common @ {root:uri}/../common"]
[tool.hatch.metadata]
allow-direct-references = true
"""


POETRY_PATH = '[tool.poetry.dependencies]\ncommon = {path = "../common"}\n'
PDM_PATH = 'dependencies = ["common @ file:///${PROJECT_ROOT}/../common"]\n'


@pytest.mark.parametrize(
    ("system", "by_path"),
    [
        pytest.param(HATCHLING, BY_PATH, id="hatch"),
        pytest.param(POETRY, POETRY_PATH, id="poetry", marks=pytest.mark.full),
        pytest.param(PDM, PDM_PATH, id="pdm", marks=pytest.mark.full),
    ],
)
def test_a_library_that_another_needs_by_its_path_is_asked_for_by_name(
    tmp_path: Path, system: str, by_path: str
) -> None:
    app, common = make_library(tmp_path, "app", system=system, project=by_path), make_library(tmp_path, "common")
    heard = Heard()

    first = build(tmp_path, app, common, heard=heard)
    again = build(tmp_path, app, common, before=first)

    assert [wheel.distribution for wheel in wheels_of(first)] == ["common", "app"]
    assert metadata.read(tmp_path / wheels_of(first)[1].file).by_path == frozenset()
    assert "app asks for common by name: a path holds on this machine only" in heard.lines
    assert again == first

    with pytest.raises(errors.BadInput, match="app needs common by a path of this machine") as caught:
        build(tmp_path, app, before=first)
    lines = (app / "pyproject.toml").read_text().splitlines()
    assert caught.value.where == f"{app / 'pyproject.toml'}:{[('../common' in line) for line in lines].index(True) + 1}"
    assert "`libraries`" in caught.value.cure


BACKENDS = [
    pytest.param(SETUPTOOLS, id="setuptools"),
    pytest.param(HATCHLING, id="hatchling", marks=pytest.mark.full),
    pytest.param(FLIT, id="flit", marks=pytest.mark.full),
    pytest.param(POETRY, id="poetry-core", marks=pytest.mark.full),
    pytest.param(UV, id="uv_build", marks=pytest.mark.full),
]


@pytest.mark.parametrize("system", BACKENDS)
def test_the_same_sources_give_the_same_bytes(tmp_path: Path, system: str) -> None:
    """In another folder, checked out under another umask, at another time."""
    hashes = set()
    for folder, umask, time in (("here", 0o022, 1_600_000_000), ("or there", 0o077, 1_700_000_000)):
        before = os.umask(umask)
        try:
            library = make_library(tmp_path / folder, system=system)
            for path in library.rglob("*"):
                os.utime(path, (time, time))
            hashes.add(wheels_of(build(tmp_path / folder, library))[0].sha256)
        finally:
            os.umask(before)

    assert len(hashes) == 1


VERSIONED = [
    pytest.param(
        'requires = ["setuptools", "setuptools_scm"]\nbuild-backend = "setuptools.build_meta"\n',
        '[tool.setuptools_scm]\nroot = "../.."\n',
        id="setuptools_scm",
    ),
    pytest.param(
        'requires = ["hatchling", "hatch-vcs"]\nbuild-backend = "hatchling.build"\n',
        '[tool.hatch.version]\nsource = "vcs"\nraw-options = {root = "../.."}\n',
        id="hatch-vcs",
        marks=pytest.mark.full,
    ),
]


@pytest.mark.parametrize(("system", "tool"), VERSIONED)
def test_a_version_may_come_from_git_and_moves_with_it(tmp_path: Path, system: str, tool: str) -> None:
    library = make_library(tmp_path, system=system, project=f'dynamic = ["version"]\n{tool}')
    write(tmp_path, {".gitignore": ".mlops/\n"})
    commit(tmp_path, "v2.5")
    git("remote", "add", "origin", "https://ada:s3cret@example.com/repo.git", cwd=tmp_path)

    tagged = build(tmp_path, library)
    git("commit", "-q", "--allow-empty", "-m", "more", cwd=tmp_path)
    later = build(tmp_path, library, before=tagged)

    assert wheels_of(tagged)[0].version == "2.5"
    assert wheels_of(later)[0].version.startswith("2.6.dev1+g")
    assert git("status", "--porcelain", cwd=tmp_path) == ""


def test_a_deleted_module_does_not_survive_in_a_leftover_build_folder(tmp_path: Path) -> None:
    library = make_library(tmp_path, system=SETUPTOOLS)
    write(library, {"build/lib/mylib/deleted.py": "", "build/lib/mylib/__init__.py": ""})
    write(tmp_path, {".gitignore": "build/\n"})
    commit(tmp_path)

    (wheel,) = wheels_of(build(tmp_path, library))

    assert "mylib/deleted.py" not in names_in(tmp_path, wheel)


def test_a_readme_may_lie_outside_the_librarys_folder(tmp_path: Path) -> None:
    library = make_library(
        tmp_path,
        system=SETUPTOOLS,
        project='dynamic = ["readme"]\nversion = "1.0"\n[tool.setuptools.dynamic]\nreadme = {file = "README.md"}\n',
    )
    (library / "README.md").symlink_to("../../README.md")
    write(tmp_path, {"README.md": "# The whole repository's\n"})
    commit(tmp_path)

    (wheel,) = wheels_of(build(tmp_path, library))

    about = next(name for name in names_in(tmp_path, wheel) if name.endswith("METADATA"))
    assert "The whole repository's" in zipfile.ZipFile(tmp_path / wheel.file).read(about).decode()


def test_wheels_that_need_each_other_come_in_that_order(tmp_path: Path) -> None:
    app = make_library(tmp_path, "app", project='dependencies = ["util>=1", "numpy"]\n')
    util = make_library(tmp_path, "util")

    wheels = wheels_of(build(tmp_path, app, util))

    assert [wheel.distribution for wheel in wheels] == ["util", "app"]


@pytest.mark.parametrize("installer", [pytest.param("pip", marks=pytest.mark.full), "uv"])
@pytest.mark.full
def test_a_local_version_moves_with_the_code_and_is_installed_and_satisfies_what_needs_it(
    tmp_path: Path, installer: str
) -> None:
    app = make_library(tmp_path, "app", project='dependencies = ["util==1.0"]\n')
    util = make_library(tmp_path, "util")
    commit(tmp_path)
    head = git("rev-parse", "HEAD", cwd=tmp_path)

    first = build(tmp_path, app, util, local_version=True)
    write(util, {"util/__init__.py": "A = 2\n"})
    second = build(tmp_path, app, util, before=first, local_version=True)

    (old, same), (new, again) = wheels_of(first), wheels_of(second)
    assert (old.version, same.version) == (f"1.0+g{head[:12]}", f"1.0+g{head[:12]}")
    assert again == same
    assert new.version.startswith("1.0+d")
    for wheel in (old, new):  # one environment that stays, in which neither would replace the other as plain 1.0
        install(installer, tmp_path / "environment", tmp_path / wheel.file, tmp_path / same.file)
        assert ask(tmp_path / "environment", "util") == wheel.version
    assert ask(tmp_path / "environment", "app") == same.version


@pytest.mark.full
@pytest.mark.parametrize("system", BACKENDS)
def test_the_same_sources_give_the_same_bytes_with_a_local_version_too(tmp_path: Path, system: str) -> None:
    folders = (tmp_path / "here", tmp_path / "or there")
    one, other = (wheels_of(build(top, make_library(top, system=system), local_version=True))[0] for top in folders)

    assert one.version == other.version
    assert one.sha256 == other.sha256


def test_what_local_versions_are_made_of_makes_build_wheel_stale(tmp_path: Path) -> None:
    library = make_library(tmp_path)

    def digest(*, local_version: bool) -> str:
        context = make_context(tmp_path, libraries=(str(library),), local_version=local_version)
        return build_wheel.build_digest(context, NOTHING)

    plain, uncommitted = digest(local_version=False), digest(local_version=True)
    commit(tmp_path)

    assert digest(local_version=False) == plain
    assert len({plain, uncommitted, digest(local_version=True)}) == 3
    assert digest(local_version=True) == build(tmp_path, library, local_version=True).digests["build-wheel"]


def test_what_no_commit_has_gives_the_local_version_of_a_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = make_library(tmp_path)
    write(library, {"hatch_build.py": 'import os\nos.environ.get("NUMBER")\n'})
    write(tmp_path, {".gitignore": "*_pb2.py\n"})
    commit(tmp_path)
    write(library, {"mylib/a_pb2.py": ""})

    def look(**settings: Any) -> str:
        context = make_context(tmp_path, libraries=(str(library),), local_version=True, **settings)
        build_wheel.build_digest(context, NOTHING)
        local = context.library_states[library].local
        assert local is not None
        return local.version[0]

    assert look() == "g"
    assert look(include=("mylib/*_pb2.py",)) == "d"
    monkeypatch.setenv("NUMBER", "7")
    assert look() == "d"


def install(installer: str, environment: Path, *wheels: Path) -> None:
    """Into an environment that may be there already, upgrading."""
    python = str(environment / "bin" / "python")
    if not environment.exists():
        subprocess.run([uv.find_uv_bin(), "venv", "-q", "--seed", "--python", sys.executable, environment], check=True)
    pip = {"pip": [python, "-m", "pip", "install"], "uv": [uv.find_uv_bin(), "pip", "install", "--python", python]}
    subprocess.run([*pip[installer], "-q", "--no-index", "--upgrade", *wheels], check=True)


def ask(environment: Path, distribution: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({distribution!r}))"
    done = subprocess.run([environment / "bin" / "python", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_build_that_fails_shows_the_backends_own_words(tmp_path: Path) -> None:
    library = make_library(tmp_path, system=SETUPTOOLS, project="[tool.setuptools]\npackages = 3\n")

    with pytest.raises(errors.StepFailed) as caught:
        build(tmp_path, library)

    assert "tool.setuptools.packages" in caught.value.what
    assert caught.value.where == str(library)
    (log,) = (path for path in (tmp_path / ".mlops").rglob("*") if path.is_file())
    assert caught.value.what.endswith(f"the whole log: {log}")


def test_a_build_that_misses_what_git_ignores_fails_with_its_name(tmp_path: Path) -> None:
    setup = 'from setuptools import setup\nsetup(name="mylib", version=open("VERSION" + ".txt").read())\n'
    write(tmp_path, {"libs/mylib/setup.py": setup, "libs/mylib/a.py": "", ".gitignore": "VERSION*\n"})
    commit(tmp_path)
    write(tmp_path, {"libs/mylib/VERSION.txt": "1.0"})

    with pytest.raises(errors.StepFailed, match=r"No such file or directory: 'VERSION\.txt'") as caught:
        build(tmp_path, tmp_path / "libs" / "mylib")

    assert caught.value.cure.startswith("name VERSION.txt, which git ignores, in the setting `include`")


def test_a_missing_uv_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise FileNotFoundError("/nowhere/uv")

    monkeypatch.setattr(uv, "find_uv_bin", fail)

    with pytest.raises(errors.StepFailed, match="uv, which builds") as caught:
        build(tmp_path, make_library(tmp_path))

    assert caught.value.where == "/nowhere/uv"


def test_two_libraries_that_are_one_distribution_are_refused(tmp_path: Path) -> None:
    one, other = make_library(tmp_path / "a"), make_library(tmp_path / "b")

    with pytest.raises(errors.BadInput, match="two libraries are the distribution mylib") as caught:
        build(tmp_path, one, other)

    assert "a/libs/mylib" in caught.value.where
    assert "b/libs/mylib" in caught.value.where


def test_a_password_in_pips_settings_is_not_in_what_a_failure_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://ada:s3cret@127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)

    with pytest.raises(errors.StepFailed) as caught:
        build(tmp_path, make_library(tmp_path, system='requires = ["no-such-backend"]\nbuild-backend = "x"\n'))

    assert "127.0.0.1" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.fixture
def shallow(tmp_path: Path) -> Path:
    """A library in a shallow clone, whose version comes from git."""
    library = make_library(tmp_path / "origin")
    write(library, {"setup.cfg": "# scm\n"})
    commit(tmp_path / "origin", "v1")
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", "--depth", "1", f"file://{tmp_path / 'origin'}", str(clone)], check=True)
    return clone / "libs" / "mylib"


@pytest.mark.full
def test_a_shallow_clone_can_be_built_from(shallow: Path) -> None:
    assert wheels_of(build(shallow.parents[1], shallow))


@pytest.mark.parametrize(
    ("local_version", "said"),
    [
        (False, "libs/mylib takes its version from git, and the clone is shallow, without older tags"),
        (
            True,
            "libs/mylib: the clone is shallow and may lack the commit that last changed it, so",
        ),
    ],
)
def test_a_version_that_a_shallow_clone_cannot_take_from_git_is_told_with_what_brings_it(
    shallow: Path, local_version: bool, said: str
) -> None:
    context = make_context(shallow.parents[1], local_version=local_version)

    (found,) = build_wheel.find_missing(context, shallow)

    assert found.what.startswith(said)
    assert ("its version ends in +d" in found.what) is local_version
    assert found.cure.startswith("`git fetch --unshallow`")


def test_a_pointer_in_the_place_of_a_librarys_file_is_told(tmp_path: Path) -> None:
    library = make_library(tmp_path)
    write(library, {"mylib/model.bin": f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 9\n"})
    commit(tmp_path)

    found = [str(each) for each in build_wheel.find_missing(make_context(tmp_path), library)]

    assert found == ["libs/mylib/mylib/model.bin is a Git LFS pointer: `git lfs pull`"]


@pytest.mark.parametrize(
    ("setup", "tag", "told"),
    [
        ('git("describe", "--tags")', "", True),
        ('git("describe", "--tags")', "v1", False),
        ('git("rev-parse", "HEAD")', "", False),
    ],
    ids=["no tag", "a tag", "no version"],
)
def test_a_version_that_counts_from_a_tag_is_told_to_have_none(
    tmp_path: Path, setup: str, tag: str, told: bool
) -> None:
    library = make_library(tmp_path)
    write(library, {"setup.py": f"def git(*words):\n    run(['git', *words])\n{setup}\n"})
    commit(tmp_path)
    if tag:
        git("tag", tag, cwd=tmp_path)
    context = make_context(tmp_path, libraries=(str(library),))

    found = [each.cure for each in build_wheel.find_missing(context, library)]

    assert found == (["`git fetch --tags`, or tag a first release"] if told else [])


def test_a_wheel_of_the_same_sources_is_found_again_on_another_branch_and_target(tmp_path: Path) -> None:
    library = make_library(tmp_path)
    commit(tmp_path)
    first = make_context(tmp_path, libraries=(str(library),))
    built = build_wheel.build_wheels(first, Release(target="local", project="p", branch="main"))
    first.record.save(built)

    there = make_context(
        tmp_path, libraries=(str(library),), branch="other", target="databricks", report=(heard := Heard())
    )
    again = build_wheel.build_wheels(there, Release(target="databricks", project="p", branch="other"))

    assert again.wheels == built.wheels
    assert [line.rpartition(", ")[2] for line in heard.lines] == ["up to date)"]
    (tmp_path / wheels_of(built)[0].file).write_bytes(b"spoilt")
    assert wheels_of(build_wheel.build_wheels(there, Release(target="databricks", project="p", branch="other")))
    assert heard.lines[-1].endswith(", built)")


def test_a_project_without_libraries_has_nothing_to_build(tmp_path: Path) -> None:
    heard = Heard()
    built = build(tmp_path, heard=heard)
    assert built.wheels == ()
    assert heard.lines == ["nothing to build: `libraries` is empty"]
    assert build_wheel.build_digest(make_context(tmp_path), built) == built.digests["build-wheel"]
