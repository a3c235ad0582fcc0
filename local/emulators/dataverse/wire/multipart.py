"""The multipart/mixed bodies of `$batch`, read and written.

OData 4.0, part 1, 11.7 Batch Requests:
https://docs.oasis-open.org/odata/odata/v4.0/errata03/os/complete/part1-protocol/odata-v4.0-errata03-os-part1-protocol-complete.html
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from http import HTTPStatus

from local.emulators.dataverse.errors import Refusal
from local.emulators.dataverse.wire.messages import ODataResponse

# The service takes what is between the first space and the last one, as some clients leave spaces in a $filter.
_REQUEST_LINE = re.compile(r"(?P<method>[A-Z]+) (?P<url>\S(?:.*\S)?) HTTP/1\.1")
_SERVICE_ROOT = re.compile(r"^(?:https?://[^/]+)?/api/data/v[\d.]+/")
_URL_LIMIT = 64 * 1024


@dataclass(frozen=True, slots=True)
class BatchPart:
    """One embedded request; `path` is relative to the service root; header names are lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    content_id: str | None


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """Embedded requests that succeed or fail together."""

    parts: tuple[BatchPart, ...]


def read_batch(content_type: str, body: bytes) -> list[BatchPart | ChangeSet]:
    """Parse a batch; DataverseError PAYLOAD says what is malformed."""
    message = message_from_bytes(b"Content-Type: " + content_type.encode("latin-1", "replace") + b"\r\n\r\n" + body)
    boundary = message.get_boundary()
    if message.get_content_type() != "multipart/mixed" or not boundary or not message.is_multipart():
        raise _malformed("the Content-Type must be multipart/mixed with the boundary that the body uses")
    if re.search(rb"(?<!\r)\n--" + re.escape(boundary.encode()), body):
        raise _malformed("every line must end with CR LF")
    return [_item(part) for part in _parts(message)]


def write_batch(responses: Iterable[ODataResponse | list[tuple[str, ODataResponse]]], new_id: str) -> tuple[str, bytes]:
    """Write a batch answer: its Content-Type and body; a list is a change set's answers with their Content-IDs."""
    boundary = f"batchresponse_{new_id}"
    chunks: list[bytes] = []
    for number, response in enumerate(responses):
        chunks.append(f"--{boundary}\r\n".encode())
        if isinstance(response, ODataResponse):
            chunks.append(_embedded(response, None))
            continue
        inner = f"changesetresponse_{number}_{new_id}"
        chunks.append(f"Content-Type: multipart/mixed; boundary={inner}\r\n\r\n".encode())
        for content_id, one in response:
            chunks.extend((f"--{inner}\r\n".encode(), _embedded(one, content_id)))
        chunks.append(f"--{inner}--\r\n".encode())
    chunks.append(f"--{boundary}--\r\n".encode())
    return f"multipart/mixed; boundary={boundary}", b"".join(chunks)


def _parts(message: Message) -> list[Message]:
    payload = message.get_payload()
    return [part for part in payload if isinstance(part, Message)] if isinstance(payload, list) else []


def _item(part: Message) -> BatchPart | ChangeSet:
    if part.get_content_type() == "multipart/mixed":
        return ChangeSet(tuple(_request(one) for one in _parts(part)))
    return _request(part)


def _request(part: Message) -> BatchPart:
    if part.get_content_type() != "application/http":
        raise _malformed("each part needs the Content-Type application/http")
    payload = part.get_payload(decode=True)
    raw = payload if isinstance(payload, bytes) else b""
    head, _, body = raw.lstrip(b"\r\n").partition(b"\r\n\r\n")
    first, *lines = head.decode("utf-8", "replace").split("\r\n")
    match = _REQUEST_LINE.fullmatch(first.strip())
    if match is None:
        raise _malformed("each part must begin with a line like 'PATCH salesorders(...) HTTP/1.1' and end with CR LF")
    if len(match["url"]) > _URL_LIMIT:
        raise _malformed(f"a URL is longer than {_URL_LIMIT} characters")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip():
            headers[name.strip().lower()] = value.strip()
    path, _, query = _SERVICE_ROOT.sub("", match["url"]).partition("?")
    content_id = part.get("Content-ID") or headers.get("content-id")
    return BatchPart(match["method"], path, query, headers, body, content_id)


def _embedded(response: ODataResponse, content_id: str | None) -> bytes:
    lines = ["Content-Type: application/http", "Content-Transfer-Encoding: binary"]
    if content_id is not None:
        lines.append(f"Content-ID: {content_id}")
    lines += ["", f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("utf-8") + response.body + b"\r\n"


def _malformed(detail: str) -> Exception:
    return Refusal.PAYLOAD(set="$batch", detail=f"The batch is malformed: {detail}.")
