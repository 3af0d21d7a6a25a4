from __future__ import annotations

from pathlib import Path

import pytest

from mlops_tasks import errors
from tests.support.contexts import make_context
from tests.support.repositories import commit, git, make_library, write


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone without the submodules that are its project and one of its libraries."""
    for name in ("one", "other"):
        write(tmp_path / name, {"pyproject.toml": "[project]\n", "MLproject": "name: x\n"})
        commit(tmp_path / name)
    make_library(tmp_path / "origin")
    commit(tmp_path / "origin")
    for name, place in (("one", "libs/shared"), ("other", "p")):
        add = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(tmp_path / name), place)
        git(*add, cwd=tmp_path / "origin")
    commit(tmp_path / "origin")
    git("clone", "-q", str(tmp_path / "origin"), "clone", cwd=tmp_path)
    return tmp_path / "clone"


def test_a_project_in_a_submodule_that_is_not_checked_out_is_refused_with_what_brings_it(clone: Path) -> None:
    with pytest.raises(errors.BadInput, match="the project is not there: p is a submodule that is not") as caught:
        _ = make_context(clone).project

    assert (caught.value.where, caught.value.cure) == (str(clone / "p"), "`git submodule update --init p`")


def test_a_library_in_a_submodule_that_is_not_checked_out_is_refused_with_what_brings_it(clone: Path) -> None:
    with pytest.raises(errors.BadInput, match="libs/shared is a submodule that is not checked out") as caught:
        _ = make_context(clone, libraries=("libs/*",)).libraries

    assert caught.value.cure == "`git submodule update --init libs/shared`"
