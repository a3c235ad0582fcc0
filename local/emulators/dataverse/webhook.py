"""A registered webhook step, as the sender uses it."""

from dataclasses import dataclass, field
from enum import StrEnum

from local.emulators.dataverse.changes import Message


class AuthType(StrEnum):
    """How a webhook authenticates: `code` in the query, headers, or query parameters."""

    WEBHOOK_KEY = "WebhookKey"
    HTTP_HEADER = "HttpHeader"
    HTTP_QUERY_STRING = "HttpQueryString"


@dataclass(frozen=True, slots=True)
class Webhook:
    """A registered step. `auth` holds names and values; a WebhookKey's only value goes out as `code`.

    Empty `filtering_attributes` means every update; otherwise a step runs when the update named one of
    them, changed or not. `pre_image` and `post_image` name image columns (empty: all), None registers no
    image. A synchronous step has no system job, and so no operation id. `usable` is False where `authvalue` is
    malformed: each call then fails in the service.
    """

    url: str
    table: str
    messages: frozenset[Message] = frozenset(Message)
    auth_type: AuthType = AuthType.HTTP_HEADER
    auth: dict[str, str] = field(default_factory=dict, repr=False)
    filtering_attributes: frozenset[str] = frozenset()
    pre_image: tuple[str, ...] | None = None
    post_image: tuple[str, ...] | None = None
    name: str = "webhook"
    synchronous: bool = False
    image_alias: str = "image"
    usable: bool = True
