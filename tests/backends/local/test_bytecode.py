"""A new environment is given what was compiled of the same sources, and Python takes it."""

from __future__ import annotations

import os
import py_compile
import resource
import subprocess
import sys
import sysconfig
import types
from importlib import util
from pathlib import Path

import pytest

from mlops_tasks.backends.local import bytecode

SITE = Path("lib", f"python{sys.version_info.major}.{sys.version_info.minor}", "site-packages")


@pytest.fixture(autouse=True)
def compiled_beside_the_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "pycache_prefix", None)
    monkeypatch.delenv("PYTHONPYCACHEPREFIX", raising=False)
    monkeypatch.delenv("PYTHONOPTIMIZE", raising=False)


def make_environment(folder: Path, **modules: str) -> Path:
    """An environment with these modules, by their names and texts, of which nothing is compiled."""
    for name, text in modules.items():
        path = folder / SITE / name / "__init__.py"
        path.parent.mkdir(parents=True)
        path.write_text(text)
        os.utime(path, (1_000_000_000, 1_000_000_000 + len(folder.name)))
    return folder


def compile_as(environment: Path, name: str, text: str) -> None:
    """Compile `text` in the place of the module's own source, so that its use shows."""
    source = environment / SITE / name / "__init__.py"
    status, own = source.stat(), source.read_text()
    source.write_text(text.ljust(len(own)))
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    py_compile.compile(str(source), doraise=True)
    source.write_text(own)
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))


def imported(environment: Path, expression: str) -> str:
    code = f"import mylib; print({expression})"
    program = [sys.executable, "-S", "-c", code]
    where = {**os.environ, "PYTHONPATH": str(environment / SITE), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(program, env=where, capture_output=True, text=True, check=True).stdout.strip()


def is_compiled(environment: Path, name: str) -> bool:
    return Path(util.cache_from_source(str(environment / SITE / name / "__init__.py"))).exists()


@pytest.mark.parametrize("is_linked", [True, False], ids=["the same file", "a copy"])
def test_what_was_compiled_of_the_same_source_is_taken_over(tmp_path: Path, is_linked: bool) -> None:
    old = make_environment(tmp_path / "old", mylib="VALUE = 'from the source'\n")
    compile_as(old, "mylib", "VALUE = 'compiled'\n")
    new = make_environment(tmp_path / "newer", mylib="VALUE = 'from the source'\n")
    if is_linked:
        (new / SITE / "mylib" / "__init__.py").unlink()
        (new / SITE / "mylib" / "__init__.py").hardlink_to(old / SITE / "mylib" / "__init__.py")

    bytecode.bring(new, beside=[old])

    assert imported(new, "mylib.VALUE") == "compiled"


def test_another_source_of_the_same_size_and_time_is_compiled_anew(tmp_path: Path) -> None:
    old = make_environment(tmp_path / "old", mylib="VALUE = 1\n", other="X = 1\n")
    compile_as(old, "mylib", "VALUE = 1\n")
    compile_as(old, "other", "X = 1\n")
    new = make_environment(tmp_path / "new", mylib="VALUE = 2\n", other="X = 1\n")

    bytecode.bring(new, beside=[old])

    assert imported(new, "mylib.VALUE") == "2"
    assert [is_compiled(new, "mylib"), is_compiled(new, "other")] == [False, True]


def test_what_is_out_of_date_for_its_own_source_is_not_taken(tmp_path: Path) -> None:
    old = make_environment(tmp_path / "old", mylib="VALUE = 1\n")
    compile_as(old, "mylib", "VALUE = 9\n")
    os.utime(old / SITE / "mylib" / "__init__.py")
    new = make_environment(tmp_path / "new", mylib="VALUE = 1\n")

    bytecode.bring(new, beside=[old, tmp_path / "gone"])

    assert not is_compiled(new, "mylib")


def test_what_this_process_has_imported_is_taken_over(tmp_path: Path) -> None:
    new = tmp_path / "new"
    source = Path(sysconfig.get_path("purelib"), "pytest", "__init__.py")
    assert Path(pytest.__file__) == source
    (new / SITE / "pytest").mkdir(parents=True)
    (new / SITE / "pytest" / "__init__.py").write_bytes(source.read_bytes())
    py_compile.compile(str(source), doraise=True)

    bytecode.bring(new, beside=[])

    assert is_compiled(new, "pytest")


def test_what_has_no_room_is_not_left_half_written(tmp_path: Path) -> None:
    text = "".join(f"a{number} = {number}\n" for number in range(20_000))
    old, new = (make_environment(tmp_path / name, mylib=text) for name in ("old", "newer"))
    py_compile.compile(str(old / SITE / "mylib" / "__init__.py"), doraise=True)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        bytecode.bring(new, beside=[old])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert not list((new / SITE / "mylib").rglob("*.p*c*"))
    assert imported(new, "mylib.a7") == "7"


def test_no_module_is_asked_for_what_it_would_have_to_run_code_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lazy(types.ModuleType):
        def __getattr__(self, name: str) -> object:
            raise ImportError(f"no extra for {name}")

    odd = types.ModuleType("odd")
    odd.__file__ = tmp_path  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "lazy", Lazy("lazy"))
    monkeypatch.setitem(sys.modules, "odd", odd)

    bytecode.bring(tmp_path / "new", beside=[])

    assert not (tmp_path / "new").exists()
