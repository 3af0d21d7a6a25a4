from __future__ import annotations

from pathlib import Path

import pytest

from mlops_tasks import uv

SECRET = "https://ada:s3cret@pypi.example.com/simple"


def read(tmp_path: Path, *texts: str, **environ: str) -> dict[str, str]:
    files = []
    for number, text in enumerate(texts):
        files.append(tmp_path / f"{number}.conf")
        files[-1].write_text(text)
    return uv.index_variables(environ, config_files=files)


def test_each_of_pips_settings_becomes_uvs_variable(tmp_path: Path) -> None:
    text = (
        f"[global]\nindex-url = {SECRET}\nextra-index-url = https://a/simple\n  https://b/simple\n"
        "find-links = /one\n  /two\ncert = /ca.pem\nclient_cert = /me.pem\ntrusted-host = a b\ntimeout = 60\nproxy = http://p:1\n"
    )

    assert read(tmp_path, text) == {
        "UV_DEFAULT_INDEX": SECRET,
        "UV_INDEX": "https://a/simple https://b/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": "/one,/two",
        "SSL_CERT_FILE": "/ca.pem",
        "SSL_CLIENT_CERT": "/me.pem",
        "UV_INSECURE_HOST": "a b",
        "UV_HTTP_TIMEOUT": "60",
        "ALL_PROXY": "http://p:1",
    }


def test_a_later_file_wins_and_a_variable_wins_over_files(tmp_path: Path) -> None:
    files = ("[global]\nindex-url = one\ntimeout = 1\n", "[global]\nindex-url = two\n")

    assert read(tmp_path, *files)["UV_DEFAULT_INDEX"] == "two"
    assert read(tmp_path, *files, PIP_INDEX_URL="three")["UV_DEFAULT_INDEX"] == "three"
    assert read(tmp_path, *files)["UV_HTTP_TIMEOUT"] == "1"


def test_pips_own_section_for_installing_wins_over_the_global_one(tmp_path: Path) -> None:
    assert read(tmp_path, "[install]\nindex-url = inner\n[global]\nindex-url = outer\n")["UV_DEFAULT_INDEX"] == "inner"


@pytest.mark.parametrize("variable", ["UV_DEFAULT_INDEX", "UV_INDEX_URL"])
def test_what_the_user_set_for_uv_stays(tmp_path: Path, variable: str) -> None:
    assert read(tmp_path, "[global]\nindex-url = x\n", **{variable: "mine"}) == {}


def test_an_underscore_is_as_good_as_a_dash(tmp_path: Path) -> None:
    assert read(tmp_path, "[global]\nindex_url = x\n") == {"UV_DEFAULT_INDEX": "x"}


def test_a_percent_sign_is_itself(tmp_path: Path) -> None:
    assert read(tmp_path, "[global]\nindex-url = https://a:p%40ss@h/simple\n")["UV_DEFAULT_INDEX"] == (
        "https://a:p%40ss@h/simple"
    )


@pytest.mark.parametrize("text", ["no section = 1", "\0\1", "[global]\nno-index = maybe\n"])
def test_a_file_that_says_nothing_usable_is_passed_over(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == {}


def test_no_index_is_handed_on(tmp_path: Path) -> None:
    assert read(tmp_path, "[global]\nno-index = true\n") == {"UV_NO_INDEX": "1"}


def test_the_files_are_those_of_pip_in_its_order(tmp_path: Path) -> None:
    environ = {"HOME": "/home/ada", "PIP_CONFIG_FILE": "/mine.conf", "XDG_CONFIG_DIRS": "/xdg"}

    files = [str(path) for path in uv.pip_config_files(environ, Path("/venv"))]

    assert files.index("/etc/pip.conf") < files.index("/home/ada/.pip/pip.conf") < files.index("/venv/pip.conf")
    assert files[-1] == "/mine.conf"


def test_a_file_named_by_a_variable_takes_the_place_of_the_users_own(tmp_path: Path) -> None:
    named = tmp_path / "mine.conf"
    named.write_text("")

    files = uv.pip_config_files({"HOME": "/home/ada", "PIP_CONFIG_FILE": str(named)}, Path("/venv"))

    assert not [path for path in files if path.is_relative_to("/home/ada")]
    assert files[-2:] == (Path("/venv/pip.conf"), named)


def test_pips_files_can_be_switched_off() -> None:
    assert uv.pip_config_files({"PIP_CONFIG_FILE": "/dev/null"}, Path("/venv")) == ()
