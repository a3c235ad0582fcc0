"""What keeps the host from starting."""


class StartError(Exception):
    """The app or its configuration cannot be served. The message says what is wrong, where, and what to do.

    Attributes:
        details: what the app itself raised (a traceback), or an empty string.
    """

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details
