"""One OData request and its answer, wherever it came from: an HTTP connection or a part of a batch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from local.emulators.dataverse import jsontext
from local.emulators.dataverse.changes import Caller
from local.emulators.dataverse.errors import DataverseError, Refusal
from local.emulators.dataverse.wire.pace import Pace

JSON_TYPE = "application/json; odata.metadata=minimal"


@dataclass(frozen=True)
class ODataRequest:
    """`path` (relative to `root`) and `query` are still percent-encoded; header names are lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    root: str
    caller: Caller
    pace: Pace
    """Shared by all operations of one HTTP request."""

    in_batch: bool = False

    @cached_property
    def preferences(self) -> dict[str, str]:
        """Parse the Prefer header: name to value without quotes, empty where there is none."""
        found: dict[str, str] = {}
        for part in self.headers.get("prefer", "").split(","):
            name, _, value = part.strip().partition("=")
            if name:
                found[name.strip().lower()] = value.strip().strip('"')
        return found

    @property
    def wants_row(self) -> bool:
        """Tell whether a write should answer with the row."""
        return self.preferences.get("return") == "representation"

    @property
    def numbers_as_text(self) -> bool:
        """Tell whether decimals are wanted as strings."""
        return "ieee754compatible=true" in self.headers.get("accept", "").replace(" ", "").lower()

    def json_object(self, set_name: str) -> dict[str, Any]:
        """Parse the body; DataverseError UNSUPPORTED_MEDIA or PAYLOAD if it is not a JSON object."""
        kind = self.headers.get("content-type", "application/json")
        if kind.partition(";")[0].strip().lower() != "application/json":
            raise Refusal.UNSUPPORTED_MEDIA(type=kind)
        try:
            parsed = jsontext.loads(self.body)
        except jsontext.JsonError as error:
            raise Refusal.PAYLOAD(set=set_name, detail=f"The body is not JSON: {error}") from None
        if not isinstance(parsed, dict):
            raise Refusal.PAYLOAD(set=set_name, detail="The body must be a JSON object.")
        return parsed


@dataclass
class ODataResponse:
    """An answer; `rows` counts the rows that it wrote, `rows_read` those that it shows."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    rows: int = 0
    rows_read: int = 0

    @classmethod
    def json(
        cls,
        payload: Any,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        numbers_as_text: bool = False,
    ) -> "ODataResponse":
        """Make an answer with a JSON body."""
        text = jsontext.dumps(payload, numbers_as_text=numbers_as_text)
        return cls(
            status,
            {"Content-Type": JSON_TYPE, "OData-Version": "4.0", **(headers or {})},
            text.encode("utf-8", "replace"),
        )

    @classmethod
    def no_content(cls, headers: Mapping[str, str] | None = None) -> "ODataResponse":
        """Make the answer 204."""
        return cls(204, {"OData-Version": "4.0", **(headers or {})})

    @classmethod
    def refused(cls, error: DataverseError) -> "ODataResponse":
        """Make the answer of an error."""
        body = {"error": {"code": error.code, "message": error.message}}
        return cls.json(body, status=error.status, headers=error.headers)
