"""What is known of the request that a side is carrying out."""

from contextvars import ContextVar
from math import inf

SENT: ContextVar[float] = ContextVar("SENT", default=inf)
"""When it was sent: what happened only later, its sender cannot have known."""

BATCH: ContextVar[str] = ContextVar("BATCH", default="")
"""The batch of messages of which it is made."""
