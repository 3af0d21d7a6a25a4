from __future__ import annotations

import os
import pwd
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.contexts import make_context


def test_mlflow_which_asks_for_a_home_as_it_is_imported_finds_one_where_the_user_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setenv("HOME", "/to be put back")
    monkeypatch.delenv("HOME")

    found = replace(make_context(tmp_path), environ={}).programs_environ

    assert found["HOME"] == str(tmp_path / ".mlops" / "home")
    assert Path.home() == tmp_path / ".mlops" / "home"
    assert os.environ["HOME"] == found["HOME"]
