from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from mlops_tasks import processes, uv
from mlops_tasks.processes import Completed

SECRET = "https://ada:s3cret@pypi.example.com/simple"


def read(tmp_path: Path, *texts: str, **environ: str) -> dict[str, str]:
    files = []
    for number, text in enumerate(texts):
        files.append(tmp_path / f"{number}.conf")
        files[-1].write_text(text)
    return uv.index_variables(environ, config_files=files)


@pytest.mark.parametrize("variable", ["PIP_CONSTRAINT", "UV_CONSTRAINT"])
def test_a_constraint_counts_from_the_users_own_folder_whatever_that_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    folder = tmp_path / "a clone"
    folder.mkdir()
    (folder / "c.txt").write_text("colorama==0.4.4\n")
    monkeypatch.chdir(folder)

    found = uv.environment({variable: "c.txt", "PIP_CONFIG_FILE": "/dev/null"})

    assert found["UV_CONSTRAINT"] == (folder / "c.txt").as_uri()
    assert uv.environment(found)["UV_CONSTRAINT"] == found["UV_CONSTRAINT"]
    assert str(folder / "c.txt") in uv.deciding(found)


def test_a_keyring_that_pip_would_find_is_asked_unless_it_is_disabled(tmp_path: Path) -> None:
    program = tmp_path / "keyring"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)

    assert read(tmp_path, PATH=str(tmp_path)) == {"UV_KEYRING_PROVIDER": "subprocess"}
    assert read(tmp_path, "[global]\nkeyring-provider = disabled\n", PATH=str(tmp_path)) == {}
    assert read(tmp_path, PATH="/nowhere") == {}


def test_each_of_pips_settings_becomes_uvs_variable(tmp_path: Path) -> None:
    text = (
        f"[global]\nindex-url = {SECRET}\nextra-index-url = https://a/simple\n  https://b/simple\n"
        "find-links = /one\n  /two\ncert = /ca.pem\nclient_cert = /me.pem\ntrusted-host = a b\ntimeout = 60\nproxy = http://p:1\n"
    )

    assert read(tmp_path, text) == {
        "UV_DEFAULT_INDEX": SECRET,
        "UV_INDEX": "https://a/simple https://b/simple",
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
    assert read(tmp_path, text, "[global]\nindex-url = x\n") == {"UV_DEFAULT_INDEX": "x"}
    assert read(tmp_path, text) == {}


def test_what_uv_takes_from_a_file_alone_is_given_as_lines(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text("[install]\nno-binary = numpy,scipy\n")
    environ = {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "PIP_ONLY_BINARY": ":all:"}

    assert uv.pip_lines(environ) == ["--no-binary numpy,scipy", "--only-binary :all:"]


@pytest.mark.parametrize(
    ("setting", "wanted"),
    [
        ("constraint = /c.txt\n  /d.txt", {"UV_CONSTRAINT": "/c.txt /d.txt"}),
        ("build-constraint = /b.txt", {"UV_BUILD_CONSTRAINT": "/b.txt"}),
        ("pre = yes", {"UV_PRERELEASE": "allow"}),
        ("retries = 1", {"UV_HTTP_RETRIES": "1"}),
        ("require-hashes = true", {"UV_REQUIRE_HASHES": "1"}),
        ("no-index = true\nextra-index-url = https://a/simple", {"UV_DEFAULT_INDEX": uv.NO_INDEX}),
        ("keyring-provider = subprocess", {"UV_KEYRING_PROVIDER": "subprocess"}),
        ("keyring-provider = disabled", {}),
    ],
)
def test_what_pip_does_by_its_settings_uv_does(tmp_path: Path, setting: str, wanted: dict[str, str]) -> None:
    assert read(tmp_path, f"[global]\n{setting}\n") == wanted


def test_a_path_in_a_setting_counts_from_the_folder_of_the_call_as_pip_counts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    found = read(tmp_path, PIP_CONSTRAINT="c.txt https://h/d.txt", PIP_FIND_LINKS="wheels")

    assert found["UV_CONSTRAINT"] == f"{tmp_path / 'c.txt'} https://h/d.txt"
    assert found["UV_FIND_LINKS"] == str(tmp_path / "wheels")


def test_the_certificates_that_pip_trusts_are_trusted(tmp_path: Path) -> None:
    bundle = str(tmp_path / "bundle.pem")

    assert read(tmp_path, REQUESTS_CA_BUNDLE=bundle) == {"SSL_CERT_FILE": bundle}
    assert read(tmp_path, CURL_CA_BUNDLE=str(tmp_path)) == {"SSL_CERT_DIR": str(tmp_path)}
    assert read(tmp_path, REQUESTS_CA_BUNDLE=bundle, PIP_CERT="/own.pem") == {"SSL_CERT_FILE": "/own.pem"}
    assert read(tmp_path, REQUESTS_CA_BUNDLE=bundle, SSL_CERT_FILE="/own.pem") == {}


def test_settings_for_uv_in_the_repository_are_not_read_but_the_users_own_are(tmp_path: Path) -> None:
    assert uv.environment({"HOME": str(tmp_path)})["UV_NO_CONFIG"] == "1"
    assert "UV_NO_CONFIG" not in uv.environment({"HOME": str(tmp_path), "UV_CONFIG_FILE": "/mine.toml"})

    own = tmp_path / ".config" / "uv" / "uv.toml"
    own.parent.mkdir(parents=True)
    own.write_text("")
    found = uv.environment({"HOME": str(tmp_path)})
    assert (found["UV_CONFIG_FILE"], "UV_NO_CONFIG" in found) == (str(own), False)


def test_to_pip_all_indexes_are_alike_unless_the_user_says_otherwise() -> None:
    assert uv.environment({})["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert uv.environment({"UV_INDEX_STRATEGY": "first-index"})["UV_INDEX_STRATEGY"] == "first-index"


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("error: Failed to initialize cache at `/.cache/uv`", "no place for its cache"),
        ("error: Required uv version `==0.6.0` does not match", "another version"),
        ("error: Could not acquire lock\n  Caused by: No locks available (os error 37)", "cannot lock its cache"),
        ("error: Failed to parse environment variable `UV_OFFLINE` with invalid value `maybe`", "what is set for it"),
        ("error: invalid value 'x' for '--index-strategy <INDEX_STRATEGY>'", "what is set for it"),
        ("error: File not found: /nowhere/constraints.txt", "what is set for it"),
        ("error: Failed to read `--find-links` directory: /nowhere", "no such folder of wheels"),
        ("error: Failed to fetch: `https://h/`\n  Caused by: invalid peer certificate: UnknownIssuer", "not trusted"),
        ("error: Failed to fetch: `https://h/`\n  Caused by: HTTP status client error (401 Unauthorized)", "a login"),
        ("error: Request failed after 3 retries\n  Caused by: Failed to fetch: `https://h/`", "cannot be reached"),
    ],
)
def test_a_fault_of_uvs_own_is_told_from_one_of_the_requirements(said: str, what: str) -> None:
    fault = uv.explain(said)

    assert fault is not None
    assert what in fault.what
    assert uv.explain("No solution found when resolving dependencies") is None


def reach(run: processes.Runner, *said: list[str]) -> Completed:
    heard = said[0] if said else []
    return uv.run_reaching(["uv"], env={}, run=run, cwd=Path("/"), say=heard.append)


def test_without_a_network_what_the_cache_has_is_used() -> None:
    tried: list[str] = []

    def run(command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Completed:
        tried.append((env or {}).get("UV_OFFLINE", ""))
        return Completed(command, 0 if tried[-1] else 2, "", "error: Failed to fetch: `https://h/`")

    heard: list[str] = []
    assert reach(run, heard).returncode == 0
    assert tried == ["", "1"]
    assert heard == ["the package index cannot be reached: what uv's cache has is taken"]


def test_where_the_cache_has_too_little_the_network_is_what_is_told() -> None:
    def run(command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Completed:
        is_offline = "UV_OFFLINE" in (env or {})
        return Completed(command, 1, "", f"hint: {uv.CACHE_LACKS}" if is_offline else "error: Failed to fetch: `x`")

    assert reach(run).stderr == "error: Failed to fetch: `x`"


def test_what_no_network_can_mend_is_not_tried_again() -> None:
    tried: list[str] = []

    def run(command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Completed:
        tried.append("")
        return Completed(command, 1, "", "No solution found")

    assert reach(run).returncode == 1
    assert len(tried) == 1


def test_of_what_uv_printed_the_last_cause_is_shown_without_the_marks_of_who_called_it() -> None:
    said = "Traceback\n  | error: first\n< error: it failed\n<   cause: https://ada:s3cret@h/\nERROR Command x"

    assert uv.last_cause(said) == "it failed\n  cause: https://***@h/"


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
