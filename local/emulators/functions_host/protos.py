"""Stand-ins for the protobuf messages between host and worker.

The worker runtime only constructs these, reads their attributes and asks `WhichOneof`; so plain objects
replace gRPC. Names and fields: https://github.com/Azure/azure-functions-language-worker-protobuf
"""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar


class TypedData:
    """One value of one kind: string, json, bytes, int, double, http, collection_string, ..."""

    __slots__ = ("__dict__", "kind")

    def __init__(self, **value: Any) -> None:
        self.kind: str | None = next(iter(value), None)
        self.__dict__.update(value)

    def WhichOneof(self, _group: str) -> str | None:  # noqa: N802 - protobuf's name
        """The kind of the value, or None where there is none."""
        return self.kind

    @property
    def value(self) -> Any:
        """The value, whatever its kind."""
        return self.__dict__[self.kind] if self.kind else None


@dataclass(slots=True)
class ParameterBinding:
    """The value of one parameter of a function."""

    name: str
    data: TypedData

    def WhichOneof(self, _group: str) -> str:  # noqa: N802 - protobuf's name
        """Always inline data: no shared memory here."""
        return "data"


@dataclass(slots=True, kw_only=True)
class RpcException:
    """What a function, or the indexing of the app, raised."""

    message: str
    stack_trace: str = ""
    source: str = ""


@dataclass(slots=True, kw_only=True)
class StatusResult:
    """Whether a request to the worker succeeded."""

    Failure: ClassVar[int] = 0
    Success: ClassVar[int] = 1
    status: int
    exception: RpcException | None = None


@dataclass(slots=True, kw_only=True)
class BindingInfo:
    """A binding's kind and direction."""

    undefined: ClassVar[int] = 0
    out: ClassVar[int] = 1
    inout: ClassVar[int] = 2
    type: str
    direction: int
    data_type: int | None = None


@dataclass(slots=True, kw_only=True)
class RpcHttp:
    """An HTTP request on its way in, or a response on its way out."""

    method: str = ""
    url: str = ""
    status_code: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    cookies: list[Any] | None = None
    enable_content_negotiation: bool = False
    body: TypedData = field(default_factory=TypedData)


class Message(SimpleNamespace):
    """Any message whose fields are only read."""


class RpcHttpCookie(Message):
    """A cookie that a function sets."""

    SameSite = SimpleNamespace(**{"None": None, "Lax": "Lax", "Strict": "Strict", "ExplicitNone": "None"})


PROTOS = SimpleNamespace(
    BindingInfo=BindingInfo,
    FunctionEnvironmentReloadResponse=Message,
    FunctionLoadResponse=Message,
    FunctionMetadataResponse=Message,
    InvocationResponse=Message,
    NullableBool=Message,
    NullableDouble=Message,
    NullableString=Message,
    NullableTimestamp=Message,
    ParameterBinding=ParameterBinding,
    RpcException=RpcException,
    RpcFunctionMetadata=Message,
    RpcHttp=RpcHttp,
    RpcHttpCookie=RpcHttpCookie,
    RpcRetryOptions=Message,
    StatusResult=StatusResult,
    Timestamp=Message,
    TypedData=TypedData,
    WorkerInitResponse=Message,
    WorkerMetadata=Message,
)
"""The namespace that the runtime looks the messages up in."""
