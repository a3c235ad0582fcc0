"""Service Bus connections as bindings name them: a connection string, or a namespace and an identity."""

from collections.abc import Callable

from azure.servicebus import parse_connection_string
from azure.servicebus.aio import ServiceBusClient

from local.host.errors import StartError
from local.host.settings import setting


def open_with(connection: str, *, function: str) -> Callable[[], ServiceBusClient]:
    """A factory of clients for the connection that a binding names.

    The client never retries by itself: the trigger reconnects, and says so.

    Raises:
        StartError: no setting describes the connection, or its connection string is malformed.
    """
    for name in (connection, f"AzureWebJobs{connection}"):
        if text := setting(name):
            try:
                parse_connection_string(text)
            except ValueError:
                raise StartError(
                    f"Function '{function}': the setting {name} is not a Service Bus connection string. Write it as "
                    "Endpoint=sb://HOST/;SharedAccessKeyName=NAME;SharedAccessKey=KEY."
                ) from None  # the SDK's message may quote the string
            return lambda text=text: ServiceBusClient.from_connection_string(text, retry_total=0)  # type: ignore[misc]
        if namespace := setting(f"{name}__fullyQualifiedNamespace"):
            return lambda name=name, namespace=namespace: _with_identity(name, namespace)  # type: ignore[misc]
    raise StartError(
        f"Function '{function}' uses the connection {connection}, but neither the setting {connection} (a connection string) "
        f"nor {connection}__fullyQualifiedNamespace (a host name) is set. Set one of them in the environment or under "
        '"Values" of local.settings.json.'
    )


def _with_identity(name: str, namespace: str) -> ServiceBusClient:
    from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential  # noqa: PLC0415 - slow to import

    client_id = setting(f"{name}__clientId")
    credential: DefaultAzureCredential | ManagedIdentityCredential
    if setting(f"{name}__credential") == "managedidentity":
        credential = (
            ManagedIdentityCredential(client_id=client_id) if client_id else ManagedIdentityCredential()
        )
    else:
        credential = DefaultAzureCredential()
    return ServiceBusClient(namespace, credential, retry_total=0)
