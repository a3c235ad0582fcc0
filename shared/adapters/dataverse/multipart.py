"""The `$batch` format: many requests in one, `multipart/mixed` with one `application/http` part each.

See https://learn.microsoft.com/power-apps/developer/data-platform/webapi/execute-batch-operations-using-web-api.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from uuid import uuid4

import httpx


@dataclass(frozen=True)
class Part:
    """One request of a batch; `url` is absolute."""

    method: str
    url: str
    body: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def encode(parts: Sequence[Part]) -> tuple[str, bytes]:
    """The content type and the body of a batch. Every line ends in CRLF, as the service insists."""
    boundary = f"batch_{uuid4()}"
    lines: list[str] = []
    for part in parts:
        lines += [
            f"--{boundary}",
            "Content-Type: application/http",
            "Content-Transfer-Encoding: binary",
            "",
            f"{part.method} {part.url} HTTP/1.1",
            "Accept: application/json",
        ]
        if part.body is not None:
            lines.append("Content-Type: application/json; type=entry")
        lines += [f"{name}: {value}" for name, value in part.headers.items()]
        lines += ["", part.body or ""]
    lines += [f"--{boundary}--", ""]
    return f'multipart/mixed; boundary="{boundary}"', "\r\n".join(lines).encode()


def decode(response: httpx.Response, parts: Sequence[Part]) -> list[httpx.Response | None]:
    """The answer to each part, in their order; None where the answer ends before.

    Raises:
        ValueError: Not a batch's answer at all.
    """
    header = Message()
    header["Content-Type"] = response.headers.get("Content-Type", "")
    boundary = header.get_param("boundary")
    if header.get_content_maintype() != "multipart" or not isinstance(boundary, str):
        raise ValueError("not multipart")
    pieces = (b"\r\n" + response.content).split(b"\r\n--" + boundary.encode())
    # Before the first boundary stands nothing of interest. The last piece of a whole answer is the closing "--"; in
    # a truncated one it is a part that may have lost its end, so that it proves nothing.
    # Parsing an address costs more than all the rest of a part, and a chunk's rows share theirs but for the id.
    requests: dict[tuple[str, str], httpx.Request] = {}
    answers: list[httpx.Response | None] = []
    for piece, part in zip(pieces[1:-1], parts, strict=False):
        table = part.method, part.url.partition("?")[0].partition("(")[0]
        if table not in requests:
            requests[table] = httpx.Request(*table)
        answers.append(_answer(piece, requests[table]))
    return answers + [None] * (len(parts) - len(answers))


def _answer(piece: bytes, request: httpx.Request) -> httpx.Response | None:
    _mime, _, http = piece.partition(b"\r\n\r\n")
    head, separator, body = http.partition(b"\r\n\r\n")
    status_line, *header_lines = head.decode("utf-8", "replace").split("\r\n")
    words = status_line.split(" ", 2)
    if len(words) < 2 or not words[1].isdigit() or not (separator or header_lines):  # noqa: PLR2004  # version, status
        return None
    status, content = int(words[1]), body.removesuffix(b"\r\n")
    if status < HTTPStatus.MULTIPLE_CHOICES:
        # A row that was written says all in its body; hundreds of them would spend most of their time on headers.
        return httpx.Response(status, content=content, request=request)
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in header_lines) if name]
    return httpx.Response(
        status,
        headers=[
            (name, value) for name, value in headers if name.lower() not in {"content-length", "transfer-encoding"}
        ],
        content=content,
        request=request,
    )
