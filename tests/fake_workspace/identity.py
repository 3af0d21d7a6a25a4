"""Logins: tokens, OAuth for service principals, and the API that says whose a token is."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from tests.fake_workspace.exchange import Answer, Refused, Request, Routes

WORKSPACE_ID = "900800700600"
BAD_TOKEN = Answer(
    status=403,
    body=json.dumps({"error_code": 403, "message": "Invalid access token."}).encode(),
    headers={"Content-Type": "application/json", "X-Databricks-Reason-Phrase": "Invalid access token."},
)
"""The answer to a token that was never valid."""

EXPIRED_TOKEN = Answer(
    status=401,
    body=json.dumps({"error_code": "UNAUTHENTICATED", "message": "Token is expired"}).encode(),
    headers={"Content-Type": "application/json"},
)
"""The other one that clients meet."""


class Identity:
    """Its switches: `discoverable`, whether clients are told of the OAuth endpoint and the workspace's id;
    `refusal`, the answer to a wrong token."""

    def __init__(self, url: str, users: Mapping[str, str]) -> None:
        self.discoverable = True
        self.refusal = BAD_TOKEN
        self.users = dict(users)
        """User names by token."""

        self.principals: dict[str, str] = {}
        """Secrets of service principals by client id, which is their user name too."""

        self._url = url

    def routes(self) -> Routes:
        return {("GET", "/api/2.0/preview/scim/v2/Me"): self.tell_user}

    def open_routes(self) -> Routes:
        """What is served without a token."""
        return {
            ("GET", "/.well-known/databricks-config"): self.tell_endpoints,
            ("GET", "/oidc/.well-known/oauth-authorization-server"): self.tell_oauth,
            ("POST", "/oidc/v1/token"): self.give_token,
        }

    def user(self, authorization: str) -> str | None:
        """The name that a header `Authorization` stands for; None for a token that is not valid."""
        if not authorization:
            message = "Credential was not sent or was of an unsupported type for this API."
            raise Refused(401, "UNAUTHENTICATED", message)
        scheme, _, token = authorization.partition(" ")
        return self.users.get(token) if scheme.lower() == "bearer" else None

    def token_of(self, name: str) -> str:
        """A token of this user or service principal, which is made where there is none; nothing for a stranger."""
        known = next((token for token, user in self.users.items() if user == name), "")
        return known or (self._new_token(name) if name in self.principals else "")

    def tell_user(self, request: Request) -> dict[str, Any]:
        name = request.user
        emails = [{"type": "work", "value": name, "primary": True}] if "@" in name else []
        return {"id": number_of(name), "userName": name, "displayName": name, "emails": emails, "active": True}

    def tell_endpoints(self, request: Request) -> dict[str, Any]:
        if not self.discoverable:
            raise Refused(404, "ENDPOINT_NOT_FOUND", f"No API found for 'GET {request.path}'")
        return {"oidc_endpoint": f"{self._url}/oidc", "workspace_id": WORKSPACE_ID}

    def tell_oauth(self, request: Request) -> dict[str, Any]:
        return {
            "authorization_endpoint": f"{self._url}/oidc/v1/authorize",
            "token_endpoint": f"{self._url}/oidc/v1/token",
        }

    def give_token(self, request: Request) -> dict[str, Any] | Answer:
        """A token for an hour, for a service principal's id and secret."""
        form = parse_qs(request.body.read().decode())
        client, secret = _basic(request.headers.get("Authorization", ""))
        if form.get("grant_type") != ["client_credentials"] or not secret or self.principals.get(client) != secret:
            body = json.dumps({"error": "invalid_client", "error_description": "Client authentication failed"})
            return Answer(status=401, body=body.encode(), headers={"Content-Type": "application/json"})
        return {"access_token": self._new_token(client), "token_type": "Bearer", "expires_in": 3600}

    def _new_token(self, name: str) -> str:
        token = secrets.token_hex(16)
        self.users[token] = name
        return token


def number_of(user: str) -> str:
    """The number that a workspace knows a user by."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, user).int)[:16]


def _basic(authorization: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(authorization.removeprefix("Basic "), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    client, _, secret = text.partition(":")
    return client, secret
