"""How far an error on the wire reaches: the link, the session or the whole connection ends with it."""


class AmqpFailure(Exception):
    """Carries the AMQP error condition and a sentence for the peer."""

    def __init__(self, condition: str, description: str) -> None:
        super().__init__(f"{condition}: {description}")
        self.condition = condition
        self.description = description


class LinkFailure(AmqpFailure):
    """Ends one link."""


class SessionFailure(AmqpFailure):
    """Ends one session with its links."""


class ConnectionFailure(AmqpFailure):
    """Ends the connection."""
