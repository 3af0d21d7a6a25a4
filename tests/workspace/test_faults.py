from __future__ import annotations

import ssl

import pytest
import requests

from mlops_tasks.workspace import api, faults
from tests.fake_workspace.server import Workspace
from tests.support import workspaces

pytest_plugins = ["tests.fake_workspace.fixture"]

LIST = "/api/2.0/workspace/list"


def of(status: int, body: str = "", **headers: str) -> faults.ApiError:
    return faults.from_answer("https://x.net", "GET /api", status=status, headers=headers, body=body)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        pytest.param(400, '{"error_code": "IO_ERROR", "message": "No\\n room"}', "No room", id="JSON"),
        pytest.param(400, '{"error": "An older API"}', "An older API", id="API 1.2"),
        pytest.param(404, '{"detail": "No such user", "status": "404"}', "No such user", id="SCIM"),
        pytest.param(500, "<title>Error 500</title><pre>   Unknown\n error</pre>", "Unknown error", id="page with pre"),
        pytest.param(502, "<html><title>Bad Gateway</title></html>", "Bad Gateway", id="page"),
        pytest.param(503, "overloaded", "overloaded", id="text"),
        pytest.param(503, "", "no message", id="nothing"),
        pytest.param(400, '["a list"]', '["a list"]', id="JSON of another kind"),
    ],
)
def test_what_the_workspace_said_is_found_in_whatever_form_it_comes(status: int, body: str, said: str) -> None:
    assert of(status, body).what.endswith(f": {said}")


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (401, '"UNAUTHENTICATED"', "the login was refused (401)"),
        (403, "403", "the login was refused (403)"),
        (403, '"PERMISSION_DENIED"', "permission denied"),
        (404, '"ENDPOINT_NOT_FOUND"', "this host has no such API"),
        (429, '"REQUEST_LIMIT_EXCEEDED"', "too many requests"),
        (400, '"IO_ERROR"', "the workspace refused (400 IO_ERROR)"),
    ],
)
def test_each_refusal_is_told_by_its_status_and_code(status: int, code: str, said: str) -> None:
    assert of(status, f'{{"error_code": {code}, "message": "so"}}').what == f"{said}: so"


def test_a_certificate_is_told_from_a_connection_that_broke() -> None:
    cut = requests.exceptions.SSLError(ssl.SSLEOFError(8, "[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred"))
    plain = requests.exceptions.SSLError(ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"))
    never = requests.exceptions.InvalidURL("no host in it")

    assert faults.unreachable("x.net", "GET /", cut).is_transient
    assert "the connection broke" in faults.unreachable("x.net", "GET /", cut).what
    assert not faults.unreachable("x.net", "GET /", plain).is_transient
    assert not faults.unreachable("x.net", "GET /", never).is_transient


@pytest.mark.parametrize(
    ("status", "body", "code", "transient"),
    [
        pytest.param(502, b"Bad Gateway", "", True, id="text that it cannot read"),
        pytest.param(413, b"Too large", "", False, id="a status that it has no class for"),
        pytest.param(401, {"error_code": "UNAUTHENTICATED", "message": "Token"}, "UNAUTHENTICATED", False, id="login"),
        pytest.param(409, {"error_code": "ALREADY_EXISTS", "message": "There"}, "ALREADY_EXISTS", False, id="taken"),
    ],
)
def test_what_databricks_sdk_raises_is_the_same_fault(
    workspace: Workspace, status: int, body: object, code: str, transient: bool
) -> None:
    ours = workspaces.connect(workspace, patience=api.Patience(waits=()))
    workspace.faults.add("GET", LIST, status=status, body=body)

    with pytest.raises(faults.ApiError) as caught:
        ours.ask("listing", lambda sdk: list(sdk.workspace.list("/")))

    assert (caught.value.status, caught.value.code, caught.value.is_transient) == (status, code, transient)
    assert workspace.token not in str(caught.value)
    assert not {"Config:", "host=", "likely a bug"} & set(caught.value.what.split())
