from __future__ import annotations

import pytest

from mlops_tasks import redaction

SECRET = "https://ada:s3cret@pypi.example.com/simple"


def test_credentials_are_masked_wherever_they_stand_in_a_text() -> None:
    masked = redaction.mask(f"error: failed to fetch {SECRET}/mylib (401)")

    assert masked == "error: failed to fetch https://***@pypi.example.com/simple/mylib (401)"


def test_the_login_of_a_header_is_masked() -> None:
    assert redaction.mask("header value: 'Bearer s3cret\\n'") == "header value: 'Bearer ***'"


def test_a_password_with_an_at_sign_is_masked_whole() -> None:
    assert redaction.mask("at https://ada:p@ss@example.com/simple, not ada@example.com") == (
        "at https://***@example.com/simple, not ada@example.com"
    )


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://ada:s3cret@h:8080/a#sub", "https://h:8080/a#sub"),
        ("https://ghp_token@h/a", "https://h/a"),
        ("ssh://git:s3cret@h/a", "ssh://git@h/a"),
        ("git@h:a/b", "git@h:a/b"),
        ("http://ada:s3cret@[h/a", "http://..."),
        ("file:///a#b", "file:///a#b"),
    ],
)
def test_no_credential_is_shown(uri: str, shown: str) -> None:
    assert redaction.show_repository(uri) == shown
