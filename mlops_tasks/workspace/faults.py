"""ApiError: a call that a workspace refused or that failed, what to do, and whether trying again may help."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from mlops_tasks import errors, redaction

if TYPE_CHECKING:
    import requests

T = TypeVar("T")

BAD_REQUEST, UNAUTHENTICATED, FORBIDDEN, NOT_FOUND, CONFLICT, THROTTLED = 400, 401, 403, 404, 409, 429
UNREADABLE = "(unreadable)"
"""A code of ours, for an answer that is cut off."""
TRANSIENT = {408, 429, 500, 502, 503, 504}
LONGEST_SAID = 300
SIGN_IN_AGAIN = "make a new token for this workspace, or sign in again"
CHECK_HOST = "check DATABRICKS_HOST, or the profile's host"


class ApiError(errors.WorkspaceError):
    """A refused or failed call. `status` is None where no answer came; `code` is the workspace's own word.

    With `is_transient` the same call may succeed a moment later; with `is_unanswered` it may have been carried out,
    although no answer says so; with `is_worn_out` it has been repeated as often as allowed. `retry_after` is seconds.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str,
        cure: str,
        status: int | None = None,
        code: str = "",
        is_transient: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(what, where=where, cure=cure)
        self.status = status
        self.code = code
        self.is_transient = is_transient or status in TRANSIENT
        self.retry_after = retry_after
        self.is_worn_out = False

    @property
    def is_missing(self) -> bool:
        return self.code in {"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"} or (self.status == NOT_FOUND and not self.code)

    @property
    def is_taken(self) -> bool:
        """Something stands under that name already: each API has a status and a word of its own for it."""
        return self.code in {"RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"} or self.status == CONFLICT


def check(answer: requests.Response, host: str, call: str) -> None:
    """Raise ApiError for every answer but success in JSON. `call` is the method and path."""
    where = f"{host} {call}"
    if answer.is_redirect:  # not followed: a POST would become a GET, and the login would go to another host
        target = urlsplit(answer.headers["Location"])
        raise ApiError(
            f"this host redirects to {target.scheme}://{target.hostname}{target.path}",
            where=where,
            cure=f"{CHECK_HOST}; write https:// where it is served so",
        )
    if not answer.ok:
        raise from_answer(host, call, status=answer.status_code, headers=answer.headers, body=answer.text)
    if answer.headers.get("Content-Type", "").startswith("text/html"):  # a proxy's, or a page to sign in at
        raise no_workspace(where)
    try:
        answer.json()  # databricks-cli would end in a traceback
    except ValueError as fault:  # cut off; the next one may be whole
        raise ApiError(
            "the answer cannot be read", where=where, cure=CHECK_HOST, code=UNREADABLE, is_transient=True
        ) from fault


def from_answer(host: str, call: str, *, status: int, headers: Mapping[str, str], body: str) -> ApiError:
    """The error of an answer that is a refusal, in any of the forms that are known: JSON, an HTML page, plain text."""
    try:
        data = json.loads(body)
    except ValueError:
        data = None
    known = data if isinstance(data, dict) else {}
    said = known.get("message") or known.get("error") or known.get("detail")
    if not said:
        page = re.search(r"<pre>(.*?)</pre>", body, re.DOTALL) or re.search(r"<title>(.*?)</title>", body, re.DOTALL)
        said = page[1] if page else body
    code = known.get("error_code")
    return _refused(
        f"{host} {call}",
        status=status,
        code="" if code is None else str(code),
        said=_shorten(str(said)),
        retry_after=_seconds(headers.get("Retry-After", "")),
    )


def of_first_call(fault: ApiError) -> ApiError:
    """`fault` of the first call, which asks for the user: the host or the login is wrong, and no wait helps."""
    if fault.code == UNREADABLE or fault.status == NOT_FOUND:
        return no_workspace(fault.where)
    if fault.status == BAD_REQUEST:
        return refused_login(fault.where, said=fault.what)
    if fault.status is None:
        fault.is_transient = False
    return fault


def refused_login(where: str, *, said: str) -> ApiError:
    return ApiError(f"the login was refused: {_shorten(said)}", where=where, cure=SIGN_IN_AGAIN, status=UNAUTHENTICATED)


def no_workspace(where: str) -> ApiError:
    return ApiError("this host does not answer as a Databricks workspace does", where=where, cure=CHECK_HOST)


def unless_missing(action: Callable[[], T]) -> T | None:
    """The result of `action`; None where the workspace has no such thing."""
    try:
        return action()
    except ApiError as fault:
        if fault.is_missing:
            return None
        raise


@contextlib.contextmanager
def translated_sdk(host: str, call: str) -> Iterator[None]:
    """Raise the errors of databricks-sdk as ApiErrors."""
    import databricks.sdk  # noqa: F401 - the whole first: where another thread imports it, a part of it would be in its way
    import requests
    from databricks.sdk.errors.base import DatabricksError

    try:
        yield
    except (DatabricksError, requests.RequestException, TimeoutError) as fault:
        # it gives up with a TimeoutError of its own, and the fault is that one's cause
        first = fault.__cause__ if type(fault) is TimeoutError and fault.__cause__ else fault
        if not isinstance(first, DatabricksError):
            raise unreachable(host, call, first) from fault
        raise _refused(
            f"{host} {call}",
            status=_status_of_class(first),
            code=str(first.error_code or ""),
            said=_shorten(redaction.without_configuration(str(first)).partition(" This is likely a bug")[0]),
            retry_after=getattr(first, "retry_after_secs", None),
        ) from fault


def _status_of_class(fault: Exception) -> int:
    from databricks.sdk.errors.platform import STATUS_CODE_MAPPING

    found = [status for status, kind in STATUS_CODE_MAPPING.items() if isinstance(fault, kind)]
    shown = re.search(r"\n< (\d{3}) ", str(fault))  # it shows the whole answer where it cannot read it
    return found[0] if found else int(shown[1]) if shown else 502  # it has no class for 408, 412, 413 and 502


def _refused(where: str, *, status: int, code: str, said: str, retry_after: float | None) -> ApiError:
    """The workspace's message is shown, never decided upon: it differs by cloud and by year."""
    what, cure = _explain(status, code, said)
    return ApiError(what, where=where, cure=cure, status=status, code=code, retry_after=retry_after)


def _explain(status: int, code: str, said: str) -> tuple[str, str]:
    """What is wrong, and what to do. A 403 whose code is a number is about the login, a word about permissions."""
    if status == UNAUTHENTICATED or (status == FORBIDDEN and (code.isdigit() or not code)):
        return f"the login was refused ({status}): {said}", SIGN_IN_AGAIN
    if status == FORBIDDEN:
        return f"permission denied: {said}", "ask for that permission, or name a place that you may use"
    if code == "ENDPOINT_NOT_FOUND":
        return f"this host has no such API: {said}", CHECK_HOST
    if status == THROTTLED:
        return f"too many requests: {said}", "wait a while, then repeat"
    cure = "see that it is there, and how it is spelt" if status == NOT_FOUND else "do what it says, or repeat"
    return f"the workspace refused ({f'{status} {code}'.strip()}): {said}", cure


def unreachable(host: str, call: str, fault: BaseException) -> ApiError:
    """The error of a call that had no answer. Trying again helps neither against an invalid URL nor against bad TLS."""
    import requests

    passing = requests.ConnectionError | requests.Timeout | requests.exceptions.ChunkedEncodingError | TimeoutError
    chain = _said_by_all(fault)
    if UNTRUSTED in chain:
        return ApiError(
            f"no trusted TLS connection to {host}: {say_why(fault)}",
            where=f"{host} {call}",
            cure="check the host's name; where a proxy has its own certificate, name it by REQUESTS_CA_BUNDLE",
        )
    return ApiError(
        f"{host} cannot be reached: {say_why(fault)}",
        where=call,
        cure="check DATABRICKS_HOST (or the profile's host), the network and HTTPS_PROXY, then repeat",
        is_transient=isinstance(fault, passing) and "WRONG_VERSION_NUMBER" not in chain,  # not so without TLS
    )


UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"


def say_why(fault: BaseException) -> str:
    """Why a call had no answer, in the system's own words, out of the layers that each library wraps around them."""
    chain = _said_by_all(fault)
    if UNTRUSTED not in chain:
        return _plain_reason(fault, chain)
    reason = re.search(r"certificate verify failed: [^()\"']+", chain)
    return reason[0].strip() if reason else "its certificate is refused"


def _said_by_all(fault: BaseException | None) -> str:
    """The messages of `fault` and of all its causes."""
    return " ".join(map(str, _causes(fault)))


def _causes(fault: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while fault is not None and fault not in found:
        found.append(fault)
        fault = fault.__cause__ or fault.__context__
    return found


def _plain_reason(fault: BaseException, chain: str) -> str:
    found = re.search(r"\[Errno -?\d+\] ([A-Z][A-Za-z -]+)", chain)
    if found:
        return found[1].strip()
    if "timed out" in chain.lower() or "timeout" in type(fault).__name__.lower():
        return "no answer in time"
    if "WRONG_VERSION_NUMBER" in chain:
        return "it speaks no TLS"
    if "header value" in chain:  # the message has the value, a token
        return "the login has a line end or a blank in it, which no request can hold"
    broken = re.search("abort|reset|IncompleteRead|EOF", chain)
    return "the connection broke" if broken else _shorten(redaction.first_line(_causes(fault)[-1]))


def _seconds(retry_after: str) -> float | None:
    """The header's seconds, or those until the date that it may hold instead."""
    if retry_after.isdigit():
        return float(retry_after)
    try:
        until = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, until.timestamp() - time.time())


def _shorten(text: str) -> str:
    return " ".join(text.split())[:LONGEST_SAID] or "no message"
