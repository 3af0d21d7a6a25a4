"""Whether a tracking server answers, asked as MLflow itself would ask."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.server
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mlops_tasks import errors, redaction
from mlops_tasks.tracking import uris


class Server(http.server.BaseHTTPRequestHandler):
    """Answers each question with the status and the headers that the server object has."""

    def do_GET(self) -> None:
        self.server.asked.append(self.headers.get("Authorization", ""))  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        for name, value in self.server.headers.items():  # type: ignore[attr-defined]
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@contextlib.contextmanager
def served(
    status: int = 200, *, tls: ssl.SSLContext | None = None, **headers: str
) -> Iterator[http.server.ThreadingHTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        server.status, server.headers, server.asked = status, headers, []  # type: ignore[attr-defined]
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def address(server: http.server.ThreadingHTTPServer, *, scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{server.server_address[1]}"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server's key and certificate, which no authority but itself has signed."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = dt.datetime.now(dt.timezone.utc)
    loopback = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(loopback, critical=True)
        .sign(key, hashes.SHA256())
    )
    forms = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(key.private_bytes(*forms) + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def secure(certificate: Path) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with served(tls=context) as server:
        yield address(server, scheme="https")


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("REQUESTS_CA_BUNDLE", str),
        ("MLFLOW_TRACKING_SERVER_CERT_PATH", str),
        ("MLFLOW_TRACKING_INSECURE_TLS", lambda _: "true"),
    ],
)
def test_a_server_that_mlflow_trusts_is_reachable(
    secure: str, certificate: Path, variable: str, value: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value(certificate))

    uris.check_reachable(secure)


def test_a_server_that_nothing_trusts_is_refused_with_the_variables_that_would(secure: str) -> None:
    with pytest.raises(errors.WorkspaceError, match="certificate verify failed: self") as caught:
        uris.check_reachable(secure)
    assert "MLFLOW_TRACKING_SERVER_CERT_PATH" in caught.value.cure


@pytest.mark.parametrize("status", [200, 401, 404, 503])
def test_a_server_that_answers_is_reachable_whatever_it_says(status: int) -> None:
    with served(status) as server:
        uris.check_reachable(address(server))
        assert len(server.asked) == 1  # type: ignore[attr-defined]


def test_a_server_is_asked_with_the_login_that_mlflow_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    with served() as server:
        uris.check_reachable(address(server))
        assert server.asked == ["Bearer t0ken"]  # type: ignore[attr-defined]


def test_a_page_to_sign_in_at_is_not_followed_and_named() -> None:
    sent_on = pytest.raises(errors.WorkspaceError, match=r"sends MLflow on to https://login\.example\.org: it")
    with served(302, Location="https://login.example.org/start?x=1") as server, sent_on as caught:
        uris.check_reachable(address(server))
    assert "MLFLOW_TRACKING_TOKEN" in caught.value.cure


def test_a_redirect_within_the_server_is_mlflows_own_affair() -> None:
    with served(307, Location="/mlflow/") as server:
        uris.check_reachable(address(server))


def test_a_server_that_nobody_is_at_is_told_in_the_systems_words() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        with pytest.raises(errors.WorkspaceError, match=f"127.0.0.1:{port} cannot be reached: Connection refused\n"):
            uris.check_reachable(f"http://127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("environ", "store"),
    [({}, None), ({"MLFLOW_TRACKING_URI": " "}, None), ({"MLFLOW_TRACKING_URI": " runs "}, "runs")],
)
def test_a_blank_variable_names_no_store(environ: dict[str, str], store: str | None) -> None:
    assert uris.named(environ) == store


@pytest.mark.parametrize(
    ("variables", "said", "cure"),
    [
        ({"REQUESTS_CA_BUNDLE": "/nowhere/ca.pem"}, "invalid path: /nowhere/ca.pem", "name the file of its CA's"),
        ({"MLFLOW_TRACKING_SERVER_CERT_PATH": "/nowhere/ca.pem"}, "/nowhere/ca.pem", "name the file of its CA's"),
        ({"REQUESTS_CA_BUNDLE": __file__}, "no certificate", "name the file of its CA's"),
        (
            {"MLFLOW_TRACKING_INSECURE_TLS": "true", "MLFLOW_TRACKING_SERVER_CERT_PATH": "/x.pem"},
            "must not be set",
            "name the file of its CA's",
        ),
    ],
)
def test_a_file_of_certificates_that_is_none_is_told(
    secure: str, variables: dict[str, str], said: str, cure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(errors.WorkspaceError) as caught:
        uris.check_reachable(secure)

    assert said in caught.value.what
    assert caught.value.cure.startswith(cure)


def test_a_token_that_no_header_can_hold_is_told_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "s3cret\n")
    with served() as server, pytest.raises(errors.WorkspaceError, match="the login has a line end") as caught:
        uris.check_reachable(address(server))
    assert "s3cret" not in str(caught.value)
    assert "MLFLOW_TRACKING_TOKEN" in caught.value.cure


def test_a_server_without_tls_is_told_to_be_asked_without() -> None:
    with served() as server, pytest.raises(errors.WorkspaceError, match="speaks no TLS") as caught:
        uris.check_reachable(address(server).replace("http:", "https:"))
    assert caught.value.cure == "write http:// for https://"


@pytest.mark.parametrize("uri", ["http://[::1", "https://ada:secret@a℀b"])
def test_what_is_no_address_of_a_server_is_told_without_its_password(uri: str) -> None:
    assert redaction.split_login(uri) == (uri, None)
    with pytest.raises(errors.WorkspaceError, match="no URL of a server") as caught:
        uris.check_reachable(uri)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("uri", ["127.0.0.1:5000", "localhost:5000", "mlflow:80/path"])
def test_a_server_without_a_scheme_is_refused_with_one(uri: str) -> None:
    with pytest.raises(errors.BadInput, match="has no scheme") as caught:
        uris.absolute(uri)
    assert caught.value.cure == f"set MLFLOW_TRACKING_URI=http://{uri}"
