from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mlops_tasks import processes
from mlops_tasks.wheels import sources, surroundings
from tests.support.repositories import commit, git, make_library, write

READS = 'import os\nVERSION = "1." + os.environ["NUMBER"]\n'


def digest(library: Path, **environ: str) -> str:
    return sources.look_at(library, environ=environ, run=processes.run_command).digest


@pytest.mark.parametrize(
    ("variable", "files"),
    [
        pytest.param("NUMBER", {"setup.py": READS}, id="setup.py"),
        pytest.param("NUMBER", {"setup.py": 'import os\nos.getenv("NUMBER", "0")\n'}, id="getenv"),
        pytest.param("number", {"setup.py": "from os import environ\nenviron.get('number')\n"}, id="in small letters"),
        pytest.param("NUMBER", {"setup.py": 'import os\nNAME = "NUMBER"\nos.environ[NAME]\n'}, id="by a detour"),
        pytest.param(
            "CI_NUMBER", {"setup.py": '[v for k, v in os.environ.items() if k.startswith("CI_")]'}, id="prefix"
        ),
        pytest.param("CI_NUMBER", {"setup.py": 'os.environ.get(prefix + "_NUMBER")'}, id="end of the name"),
        pytest.param("CI_NUMBER", {"setup.py": "os.environ.get(f'{prefix}_NUMBER')"}, id="end in an f-string"),
        pytest.param("CI_NUMBER", {"setup.py": "os.environ.get(f'CI_{what}')"}, id="beginning in an f-string"),
        pytest.param("NUMBER", {"setup.py": "'1.{NUMBER}'.format(**os.environ)"}, id="format"),
        pytest.param("NUMBER", {"setup.py": "'1.%(NUMBER)s' % os.environ"}, id="per cent"),
        pytest.param(
            "POETRY_DYNAMIC_VERSIONING_BYPASS", {"pyproject.toml": "[tool.poetry-dynamic-versioning]\n"}, id="bypass"
        ),
        pytest.param("NUMBER", {"pyproject.toml": 'dependencies = ["x=={env:NUMBER:1}"]\n'}, id="hatch"),
        pytest.param("NUMBER", {"pyproject.toml": 'source = "env"\nvariable = "NUMBER"\n'}, id="hatch's env source"),
        pytest.param("NUMBER", {"pyproject.toml": 'getter = "mylib.v:get"\n', "mylib/v.py": READS}, id="pdm's getter"),
        pytest.param("NUMBER", {"setup.py": "os.popen('echo $NUMBER')\n"}, id="a shell's"),
        pytest.param("NUMBER", {"pyproject.toml": 'dependencies = ["x==${NUMBER}"]\n'}, id="pdm"),
        pytest.param("NUMBER", {"hatch_build.py": READS}, id="hatch's hook"),
        pytest.param(
            "NUMBER", {"pyproject.toml": 'script = "tools/make.py"\n', "tools/make.py": READS}, id="poetry's script"
        ),
        pytest.param(
            "NUMBER", {"pyproject.toml": 'backend-path = ["own"]\n', "own/backend.py": READS}, id="own backend"
        ),
        pytest.param(
            "NUMBER", {"pyproject.toml": 'version = {attr = "mylib.v.VERSION"}\n', "src/mylib/v.py": READS}, id="attr"
        ),
        pytest.param(
            "NUMBER", {"setup.cfg": "version = attr: mylib.VERSION\n", "mylib/__init__.py": READS}, id="setup.cfg"
        ),
        pytest.param(
            "NUMBER", {"setup.py": "from mylib.v import VERSION\n", "mylib/v.py": READS}, id="imported by setup.py"
        ),
        pytest.param(
            "NUMBER", {"setup.py": 'exec(open("../shared/v.py").read())\n', "../shared/v.py": READS}, id="outside"
        ),
        pytest.param(
            "SETUPTOOLS_SCM_PRETEND_VERSION", {"pyproject.toml": "[tool.setuptools_scm]\n"}, id="setuptools_scm"
        ),
        pytest.param(
            "SETUPTOOLS_SCM_PRETEND_VERSION_FOR_X", {"pyproject.toml": "[tool.setuptools_scm]\n"}, id="for one"
        ),
        pytest.param("CFLAGS", {"setup.py": "setup(ext_modules=[Extension('a', ['a.c'])])\n"}, id="a compiler's"),
        pytest.param("RUSTFLAGS", {"pyproject.toml": 'requires = ["maturin>=1"]\n'}, id="Rust's"),
        pytest.param("PBR_VERSION", {"setup.py": "setup(pbr=True)\n"}, id="pbr"),
        pytest.param("PDM_BUILD_SCM_VERSION", {"pyproject.toml": 'version = {source = "scm"}\n'}, id="pdm's scm"),
    ],
)
def test_a_variable_that_a_build_reads_decides_the_wheel(tmp_path: Path, variable: str, files: dict[str, str]) -> None:
    library = tmp_path / "libs" / "mylib"
    write(library, {"pyproject.toml": "", **files})

    found = [digest(library), *(digest(library, **{variable: value, "OTHER": "x"}) for value in ("7", "8"))]

    assert len(set(found)) == 3
    assert digest(library, **{variable: "7", "OTHER": "y"}) == found[1]


@pytest.mark.parametrize("variable", ["PATH", "SOURCE_DATE_EPOCH", "PYTHONPATH", "GIT_DIR"])
def test_a_variable_that_a_build_does_not_get_as_it_is_does_not_count(tmp_path: Path, variable: str) -> None:
    library = make_library(tmp_path)
    write(library, {"setup.py": f'import os\nos.environ["{variable}"]\n'})

    assert digest(library, **{variable: "1"}) == digest(library)


@pytest.mark.parametrize(
    "text", ["git+https://x.org/y", "git@x.org:y", "https://git.x.org/y.git", "https://github.com/x/y.git", "digit"]
)
def test_an_address_of_a_repository_is_no_question_to_git(text: str) -> None:
    assert not surroundings.asks_git("", [f'setup(url="{text}", install_requires=["x @ {text}"])'])


def test_programs_beside_the_settings_that_no_build_executes_do_not_count(tmp_path: Path) -> None:
    library = make_library(tmp_path)
    write(library, dict.fromkeys(("tasks.py", "noxfile.py", "test_a.py"), f"{READS}# git\n"))

    assert digest(library, NUMBER="7") == digest(library)
    assert not sources.look_at(library, environ={}, run=processes.run_command).asks_git


def test_a_compilers_variable_does_not_count_for_a_library_of_python_alone(tmp_path: Path) -> None:
    library = make_library(tmp_path)

    assert digest(library, CFLAGS="-O3") == digest(library)


def test_a_variable_that_only_the_librarys_own_code_reads_does_not_count(tmp_path: Path) -> None:
    library = make_library(tmp_path, module=READS)

    assert digest(library, NUMBER="7") == digest(library)


@pytest.mark.parametrize(
    "program",
    [
        'import subprocess\nsubprocess.run(["git", "describe", "--tags"])\n',
        'os.popen("git rev-parse HEAD")\n',
        "import git\n",
        'open("../../.git/HEAD")\n',
    ],
)
def test_git_decides_the_wheel_where_setup_py_asks_it(tmp_path: Path, program: str) -> None:
    asking, plain = make_library(tmp_path, "asking"), make_library(tmp_path, "plain")
    write(asking, {"setup.py": program})
    commit(tmp_path, "v1.0")
    before = digest(asking), digest(plain)

    git("tag", "-d", "v1.0", cwd=tmp_path)
    git("tag", "v2.0", cwd=tmp_path)
    moved = digest(asking)
    git("checkout", "-q", "-b", "other", cwd=tmp_path)

    assert len({before[0], moved, digest(asking)}) == 3
    assert digest(plain) == before[1]


OWN = f"cp{sys.version_info[0]}{sys.version_info[1]}"


@pytest.mark.parametrize(
    ("tag", "fits"),
    [
        ("py3-none-any", True),
        ("py2.py3-none-any", True),
        (f"{OWN}-none-any", True),
        (f"py{OWN[2:]}-none-any", True),
        ("cp27-cp27m-manylinux1_x86_64", False),
        ("cp38-none-any", False),
        ("py38-none-any", False),
        (f"{OWN}-{OWN}-win_arm64", False),
    ],
)
def test_a_wheel_fits_where_its_tags_say_so(tag: str, fits: bool) -> None:
    assert surroundings.fits_here(f"mylib-1.0-{tag}.whl") is fits


@pytest.mark.parametrize("name", ["INDEX_TOKEN", "npm_password", "API_KEY", "AWS_SECRET_ACCESS_KEY", "CI_SECRET_2"])
def test_a_credential_that_a_build_reads_does_not_decide_its_wheel(name: str) -> None:
    program = f"import os\nos.environ[{name!r}], os.environ['NUMBER']\n"

    assert surroundings.read_variables("", [program], {name: "s3cret", "NUMBER": "7"}) == {"NUMBER": "7"}
