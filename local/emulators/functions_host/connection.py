"""Service Bus connections as bindings name them: a connection string, or a namespace and an identity."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from azure.servicebus import parse_connection_string
from azure.servicebus.aio import ServiceBusClient

from local.emulators.functions_host.errors import StartError
from local.emulators.functions_host.settings import setting

type Connect = Callable[[], AbstractAsyncContextManager[ServiceBusClient]]
"""Opens a client of its own. It never retries by itself: the trigger reconnects, and says so."""


def connector(connection: str, *, function: str) -> Connect:
    """How to open the connection that a binding names.

    Raises:
        StartError: no setting describes the connection, or its connection string is malformed.
    """
    for name in (connection, f"AzureWebJobs{connection}"):
        if text := setting(name):
            return _by_connection_string(name, text, function)
        if namespace := setting(f"{name}__fullyQualifiedNamespace"):
            return _by_identity(name, namespace)
    raise StartError(
        f"Function '{function}' uses the connection {connection}, but neither the setting {connection} "
        f"(a connection string) nor {connection}__fullyQualifiedNamespace (a host name) is set. "
        'Set one of them in the environment or under "Values" of local.settings.json.'
    )


def _by_connection_string(name: str, text: str, function: str) -> Connect:
    try:
        parse_connection_string(text)
    except ValueError:
        raise StartError(
            f"Function '{function}': the setting {name} is not a Service Bus connection string. It needs "
            "Endpoint=sb://HOST/, SharedAccessKeyName and SharedAccessKey, with semicolons between them."
        ) from None  # the SDK's message may quote the string

    @asynccontextmanager
    async def connect() -> AsyncIterator[ServiceBusClient]:
        async with ServiceBusClient.from_connection_string(text, retry_total=0) as client:
            yield client

    return connect


def _by_identity(name: str, namespace: str) -> Connect:
    @asynccontextmanager
    async def connect() -> AsyncIterator[ServiceBusClient]:
        # Slow to import, and not needed with a connection string.
        from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential  # noqa: PLC0415

        credential: ManagedIdentityCredential | DefaultAzureCredential
        if setting(f"{name}__credential") == "managedidentity":
            credential = ManagedIdentityCredential(client_id=setting(f"{name}__clientId"))
        else:
            credential = DefaultAzureCredential()
        async with credential, ServiceBusClient(namespace, credential, retry_total=0) as client:
            yield client

    return connect
