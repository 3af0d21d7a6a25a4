from __future__ import annotations

from pathlib import Path

import pytest

from mlops_tasks.workspace import uploads


def test_a_body_is_read_in_blocks_and_tells_the_bytes_of_the_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "wheel"
    file.write_bytes(b"0123456789")
    told: list[int] = []

    with uploads.opened(file, told.append, before=b"<", after=b">") as body:
        assert len(body) == 12
        read = [body.read(4) for _ in range(6)]

    assert read == [b"<", b"0123", b"4567", b"89", b">", b""]
    assert sum(told) == 10


def test_what_a_failed_try_told_is_taken_back(tmp_path: Path) -> None:
    file = tmp_path / "wheel"
    file.write_bytes(b"0123456789")
    told: list[int] = []

    def fail() -> None:
        with uploads.opened(file, told.append) as body:
            body.read(4)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()

    assert told == [4, -4]


def test_a_form_is_what_it_says(tmp_path: Path) -> None:
    file = tmp_path / "mylib-1.0+local-py3-none-any.whl"
    file.write_bytes(b"wheel")
    form = uploads.opened_form(file, lambda size: None, fields={"path": "/a b"}, file_field="file")

    with form as (body, headers):
        boundary = headers["Content-Type"].partition("boundary=")[2]
        whole = b"".join(body)

    assert len(whole) == len(body)
    assert whole.decode().split(f"--{boundary}") == [
        "",
        '\r\nContent-Disposition: form-data; name="path"\r\n\r\n/a b\r\n',
        '\r\nContent-Disposition: form-data; name="file"; filename="mylib-1.0+local-py3-none-any.whl"\r\n\r\nwheel\r\n',
        "--\r\n",
    ]
