from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from mlops_tasks import errors
from mlops_tasks.workspace import login
from tests.fake_workspace.exchange import Answer
from tests.fake_workspace.identity import EXPIRED_TOKEN
from tests.fake_workspace.server import Workspace
from tests.support import workspaces

pytest_plugins = ["tests.fake_workspace.fixture"]

ME = "/api/2.0/preview/scim/v2/Me"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def write_profiles(home: Path, text: str, name: str = ".databrickscfg") -> Path:
    path = home / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("host", "whole"),
    [
        pytest.param("adb-1.2.azuredatabricks.net", "https://adb-1.2.azuredatabricks.net", id="no scheme"),
        pytest.param("https://x.cloud.databricks.com/?o=12#job/1", "https://x.cloud.databricks.com", id="query"),
        pytest.param("https://x.cloud.databricks.com/browse/", "https://x.cloud.databricks.com", id="path"),
        pytest.param("http://127.0.0.1:8080/", "http://127.0.0.1:8080", id="port"),
        pytest.param("https://ada:secret@x.net", "https://x.net", id="user and password"),
        pytest.param("HTTPS://X.Net", "https://x.net", id="capitals"),
        pytest.param("https://x.net:443", "https://x.net", id="the port of https"),
        pytest.param("http://127.0.0.1:80", "http://127.0.0.1", id="the port of http"),
        pytest.param("https://x.net:80", "https://x.net:80", id="the other scheme's port"),
        pytest.param("x.net.", "https://x.net", id="a final dot"),
        pytest.param("http://[::1]:8080", "http://[::1]:8080", id="an address in brackets"),
        pytest.param(" https://x.net\n", "https://x.net", id="blanks around it"),
    ],
)
def test_a_host_is_understood_in_the_forms_that_people_copy(home: Path, host: str, whole: str) -> None:
    environ = {"HOME": str(home), "DATABRICKS_HOST": host, "DATABRICKS_TOKEN": "dapi1\n"}

    found = login.resolve(None, environ)

    assert found.host == whole
    assert found.headers() == {"Authorization": "Bearer dapi1"}
    assert (found.variables["DATABRICKS_HOST"], found.variables["DATABRICKS_TOKEN"]) == (whole, "dapi1")
    assert found.tracking_uri == "databricks"


@pytest.mark.parametrize("host", ["https://", "ftp://x.net", "https://x.net:port", "x y.net"])
def test_what_is_no_host_is_refused(home: Path, host: str) -> None:
    with pytest.raises(errors.BadInput, match="no address"):
        login.resolve(None, {"HOME": str(home), "DATABRICKS_HOST": host, "DATABRICKS_TOKEN": "dapi1"})


def test_a_token_that_no_header_can_carry_is_refused_without_being_shown(home: Path) -> None:
    with pytest.raises(errors.BadInput, match="the token holds blanks") as caught:
        login.resolve(None, {"HOME": str(home), "DATABRICKS_HOST": "x.net", "DATABRICKS_TOKEN": "secret\nsecret"})

    assert "secret" not in str(caught.value)


PROFILES = """\
[DEFAULT]
host = https://default.net
token = dapi-default

[staging]
host = https://staging.net
token = dapi-staging
"""


@pytest.mark.parametrize(
    ("profile", "variables", "host", "uri"),
    [
        pytest.param(None, {}, "https://default.net", "databricks", id="the default one"),
        pytest.param("staging", {}, "https://staging.net", "databricks://staging", id="by flag"),
        pytest.param(
            None,
            {"DATABRICKS_CONFIG_PROFILE": "staging"},
            "https://staging.net",
            "databricks://staging",
            id="by variable",
        ),
        pytest.param(
            None,
            {"DATABRICKS_HOST": "https://mine.net", "DATABRICKS_TOKEN": "dapi-mine"},
            "https://mine.net",
            "databricks",
            id="the environment before the default one",
        ),
        pytest.param(
            None,
            {
                "DATABRICKS_HOST": "https://mine.net",
                "DATABRICKS_TOKEN": "dapi-mine",
                "DATABRICKS_CONFIG_PROFILE": "staging",
            },
            "https://mine.net",
            "databricks",
            id="the environment before a profile that a variable names",
        ),
        pytest.param(
            "staging",
            {"DATABRICKS_HOST": "staging.net/", "DATABRICKS_CLUSTER_ID": "1"},
            "https://staging.net",
            "databricks://staging",
            id="a variable that agrees",
        ),
    ],
)
def test_a_profile_is_chosen_as_databricks_sdk_does(
    home: Path, profile: str | None, variables: dict[str, str], host: str, uri: str
) -> None:
    write_profiles(home, PROFILES)

    found = login.resolve(profile, {"HOME": str(home), **variables})

    assert (found.host, found.tracking_uri) == (host, uri)
    token = host.removeprefix("https://").removesuffix(".net")
    assert found.headers() == {"Authorization": f"Bearer dapi-{token}"}


def test_the_file_may_name_its_default_profile_and_lie_elsewhere(home: Path) -> None:
    path = write_profiles(home, f"{PROFILES}\n[__settings__]\ndefault_profile = staging\n", "elsewhere.cfg")

    found = login.resolve(None, {"HOME": str(home / "nowhere"), "DATABRICKS_CONFIG_FILE": str(path)})

    assert (found.host, found.origin) == ("https://staging.net", "profile staging")


def test_mlflow_is_told_the_host_of_a_profile_where_it_would_not_understand_it(home: Path) -> None:
    write_profiles(home, "[DEFAULT]\nhost = x.net/?o=1\ntoken = dapi1\n")

    found = login.resolve(None, {"HOME": str(home)})

    assert found.variables == {"DATABRICKS_HOST": "https://x.net", "DATABRICKS_CONFIG_PROFILE": "DEFAULT"}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATABRICKS_HOST", "https://other.net"),
        ("DATABRICKS_TOKEN", "dapi-other"),
        ("DATABRICKS_CLIENT_ID", "6ba7"),
    ],
)
def test_an_explicit_profile_that_the_environment_would_overrule_is_refused(
    home: Path, variable: str, value: str
) -> None:
    write_profiles(home, PROFILES)

    with pytest.raises(errors.BadInput, match=f"staging and {variable} of the environment disagree") as caught:
        login.resolve("staging", {"HOME": str(home), variable: value})

    assert caught.value.cure == f"unset {variable}, or leave --profile out"


@pytest.mark.parametrize("variables", [{}, {"DATABRICKS_HOST": "https://x.net", "DATABRICKS_TOKEN": "dapi1"}])
def test_an_unknown_profile_is_refused_with_the_known_ones(home: Path, variables: dict[str, str]) -> None:
    write_profiles(home, f"{PROFILES}\n[__settings__]\ndefault_profile = staging\n")

    with pytest.raises(errors.BadInput, match=r"no profile prod \(there are: DEFAULT, staging\)"):
        login.resolve(None, {"HOME": str(home), "DATABRICKS_CONFIG_PROFILE": "prod", **variables})


def test_a_broken_login_file_is_refused_without_showing_it(home: Path) -> None:
    path = write_profiles(home, "host = https://x.net\ntoken = dapi-secret\n")

    with pytest.raises(errors.BadInput, match="not an INI file") as caught:
        login.resolve(None, {"HOME": str(home)})

    assert caught.value.where == str(path)
    assert "dapi-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        pytest.param({}, "no Databricks login is known", id="nothing"),
        pytest.param({"DATABRICKS_TOKEN": "dapi1"}, "no Databricks host is known", id="no host"),
        pytest.param({"DATABRICKS_HOST": ""}, "no Databricks login is known", id="an empty variable"),
    ],
)
def test_a_missing_login_and_a_missing_host_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, home: Path, variables: dict[str, str], said: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(sys.modules, "databricks.sdk.config", None)  # its import takes a second, and is not needed

    with pytest.raises(errors.BadInput) as caught:
        login.resolve(None, {"HOME": str(home), **variables})

    assert caught.value.what == said


def test_on_databricks_itself_databricks_sdk_is_asked(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    found = SimpleNamespace(host="https://x.net", auth_type="runtime")
    monkeypatch.setattr(login, "_configure", lambda **_: found)

    assert login.resolve(None, {"HOME": str(home), "DATABRICKS_RUNTIME_VERSION": "16.4"}).host == found.host


def test_a_login_that_databricks_sdk_finds_no_host_for_is_told_as_that(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setattr(login, "_configure", lambda **_: SimpleNamespace(host=None, auth_type="azure-client-secret"))

    with pytest.raises(errors.BadInput, match="no Databricks host is known"):
        login.resolve(None, {"HOME": str(home), "DATABRICKS_AZURE_RESOURCE_ID": "/subscriptions/1"})


def test_a_profile_without_a_host_and_one_with_a_name_that_mlflow_refuses_are_told(home: Path) -> None:
    path = write_profiles(home, "[bare]\ntoken = dapi1\n[test ws]\nhost = https://x.net\ntoken = dapi1\n")

    with pytest.raises(errors.BadInput, match="the profile bare names no host") as bare:
        login.resolve("bare", {"HOME": str(home)})
    with pytest.raises(errors.BadInput, match="MLflow takes no profile whose name has a blank") as blank:
        login.resolve("test ws", {"HOME": str(home)})

    assert bare.value.where == blank.value.where == str(path)


def test_a_host_without_credentials_is_told_so(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", workspace.url)

    with pytest.raises(errors.BadInput) as caught:
        workspaces.connect(workspace, {"DATABRICKS_HOST": workspace.url})

    assert caught.value.what == f"no credentials for {workspace.url} are known"
    assert capfd.readouterr().err == ""


def test_one_login_serves_every_client(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    workspace.add_principal("6ba7b810", "its-secret")
    write_profiles(home, f"[robot]\nhost = {workspace.url}/?o=1\nclient_id = 6ba7b810\nclient_secret = its-secret\n")

    ours = workspaces.connect(workspace, {"HOME": str(home)}, profile="robot")

    assert ours.user == "6ba7b810"
    ours.dbfs.mkdirs("dbfs:/of-databricks-cli")
    assert [each.path for each in ours.sdk.dbfs.list("/")] == ["/of-databricks-cli"]
    assert (ours.login.tracking_uri, ours.login.origin) == ("databricks://robot", "oauth-m2m, profile robot")
    assert {entry.user for entry in workspace.requests.of("GET|POST", "/api/.*")} == {"6ba7b810"}
    for name, value in ours.login.variables.items():
        monkeypatch.setenv(name, value)
    from databricks.sdk import WorkspaceClient

    assert WorkspaceClient(profile="robot").current_user.me().user_name == "6ba7b810"
    assert WorkspaceClient().current_user.me().user_name == "6ba7b810", "as MLflow's uploads of artifacts ask"


def test_a_wrong_secret_is_told_as_a_refused_login(workspace: Workspace, home: Path) -> None:
    write_profiles(home, f"[robot]\nhost = {workspace.url}\nclient_id = 6ba7b810\nclient_secret = its-secret\n")

    with pytest.raises(errors.WorkspaceError, match=r"the login was refused: .*Client authentication failed") as caught:
        _ = workspaces.connect(workspace, {"HOME": str(home)}, profile="robot").user

    assert "its-secret" not in str(caught.value)


def test_a_plain_pair_never_imports_databricks_sdk(workspace: Workspace) -> None:
    code = """
import os, pathlib, sys
from mlops_tasks import report
from mlops_tasks.stores import choosing
from mlops_tasks.workspace import api, login
ours = api.Workspace(login=login.resolve(None, os.environ), report=report.Report())
store = choosing.choose_remote("dbfs:/wheels", workspace=ours)
store.make_folder("dbfs:/wheels")
store.write(pathlib.Path(sys.argv[1]), "dbfs:/wheels", lambda size: None)
print(ours.user, *sys.modules)
"""
    command = [sys.executable, "-c", code, __file__]
    done = subprocess.run(command, env=workspace.environment, capture_output=True, text=True, check=True)

    assert done.stdout.split()[0] == workspace.user
    assert not {"databricks.sdk", "mlflow"} & set(done.stdout.split())


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        pytest.param(None, "the login was refused (403): Invalid access token.", id="403 with a number for a code"),
        pytest.param(EXPIRED_TOKEN, "the login was refused (401): Token is expired", id="401"),
        pytest.param(
            Answer(status=403, body=b"<html><title>Error 403 Invalid access token.</title></html>"),
            "the login was refused (403): Error 403 Invalid access token.",
            id="a page",
        ),
        pytest.param(
            Answer(status=400, body=b"io.jsonwebtoken.ExpiredJwtException: JWT expired"),
            "the login was refused: the workspace refused (400): io.jsonwebtoken.ExpiredJwtException: JWT expired",
            id="an Entra token that ran out",
        ),
    ],
)
def test_a_bad_token_is_told_in_each_of_the_forms_that_it_is_refused_in(
    workspace: Workspace, refusal: Answer | None, said: str
) -> None:
    if refusal:
        workspace.identity.refusal = refusal
    ours = workspaces.connect(workspace, {"DATABRICKS_HOST": workspace.url, "DATABRICKS_TOKEN": "dapi-wrong"})

    with pytest.raises(errors.WorkspaceError) as caught:
        _ = ours.dbfs

    assert caught.value.what == said
    assert "new token" in caught.value.cure
    assert len(workspace.requests) == 1
    assert "dapi-wrong" not in str(caught.value)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        pytest.param({"status": 404, "body": b"<title>404 Not Found</title>"}, "does not answer as", id="404"),
        pytest.param({"status": 200, "body": b"<h1>Hi</h1>"}, "does not answer as", id="a page without a type"),
        pytest.param(
            {"status": 200, "body": b"<h1>Hi</h1>", "headers": {"Content-Type": "text/html"}},
            "does not answer as",
            id="a page",
        ),
        pytest.param({"status": 200, "body": {"name": "x"}}, "does not answer as", id="another API"),
        pytest.param(
            {"status": 303, "headers": {"Location": "https://login.net/in?secret=1"}},
            "redirects to https://login.net/in\n",
            id="a redirect",
        ),
    ],
)
def test_a_host_that_is_no_workspace_is_told_so(workspace: Workspace, how: dict[str, object], said: str) -> None:
    workspace.faults.add("GET", ME, **how)

    with pytest.raises(errors.WorkspaceError, match=said) as caught:
        _ = workspaces.connect(workspace).user

    assert "DATABRICKS_HOST" in caught.value.cure


def test_a_busy_workspace_is_waited_for_at_the_first_call_too(workspace: Workspace) -> None:
    workspace.faults.add("GET", ME, call=1, status=429, headers={"Retry-After": "7"})
    ours = workspaces.connect(workspace)

    assert ours.user == workspace.user
    assert [7 <= each <= 9 for each in ours.waited] == [True]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.mark.parametrize("credentials", [{"DATABRICKS_TOKEN": "dapi1"}, {"DATABRICKS_CLIENT_ID": "6ba7"}])
def test_a_host_that_nobody_answers_at_is_tried_once(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, credentials: dict[str, str]
) -> None:
    environ = {"DATABRICKS_HOST": f"http://127.0.0.1:{free_port()}", "DATABRICKS_CLIENT_SECRET": "", **credentials}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(errors.WorkspaceError, match="cannot be reached: Connection refused"):
        _ = workspaces.connect(workspace, environ).user


@pytest.mark.parametrize("credentials", [{"DATABRICKS_TOKEN": "dapi1"}, {"DATABRICKS_CLIENT_ID": "6ba7"}])
def test_a_host_that_keeps_silent_is_given_up_in_seconds(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, credentials: dict[str, str]
) -> None:
    monkeypatch.setattr("mlops_tasks.workspace.login.PROBE_WITHIN", 0.2)
    monkeypatch.setattr("mlops_tasks.workspace.api.PROBE_WITHIN", 0.2)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        environ = {"DATABRICKS_HOST": f"http://127.0.0.1:{silent.getsockname()[1]}", **credentials}

        with pytest.raises(errors.WorkspaceError, match="cannot be reached: no answer in time"):
            _ = workspaces.connect(workspace, environ).user


@pytest.fixture
def untrusted(tmp_path: Path) -> Iterator[str]:
    """A server with a certificate of its own making."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(made, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.socket = context.wrap_socket(server.socket, server_side=True)
    serving = threading.Thread(target=server.serve_forever, args=(0.02,))
    serving.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    serving.join()
    server.server_close()


@pytest.mark.parametrize("credentials", [{"DATABRICKS_TOKEN": "dapi1"}, {"DATABRICKS_CLIENT_ID": "6ba7"}])
def test_a_certificate_that_is_not_trusted_is_told_with_its_cure(
    workspace: Workspace, untrusted: str, credentials: dict[str, str]
) -> None:
    with pytest.raises(errors.WorkspaceError, match=r"no trusted TLS connection to .*self.signed") as caught:
        _ = workspaces.connect(workspace, {"DATABRICKS_HOST": untrusted, **credentials}).user

    assert "REQUESTS_CA_BUNDLE" in caught.value.cure


def test_a_server_that_speaks_no_tls_is_told_so(workspace: Workspace) -> None:
    environ = {**workspace.environment, "DATABRICKS_HOST": workspace.url.replace("http:", "https:")}

    with pytest.raises(errors.WorkspaceError, match="cannot be reached: it speaks no TLS"):
        _ = workspaces.connect(workspace, environ).user
