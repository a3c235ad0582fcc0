"""What a queue tells of its messages, so that they can outlive the process."""

from typing import Protocol, Self

from local.emulators.servicebus.entry import Entry


class Keeper[T](Protocol):
    """Keeps the messages of one queue or dead-letter queue."""

    def of_dead_letters(self) -> Self:
        """The keeper of the queue's dead letters."""
        ...

    def put(self, entry: Entry[T]) -> None:
        """Keep a message as it is now, in place of what was kept under its number."""
        ...

    def drop(self, number: int) -> None:
        """Keep a message no longer."""
        ...

    def kept(self) -> tuple[int, list[Entry[T]]]:
        """The last sequence number that was given, and the messages by number."""
        ...


class Forgetful[T]:
    """Keeps nothing."""

    def of_dead_letters(self) -> Self:
        """The same."""
        return self

    def put(self, entry: Entry[T]) -> None:
        """Nothing."""

    def drop(self, number: int) -> None:
        """Nothing."""

    def kept(self) -> tuple[int, list[Entry[T]]]:
        """No message, and no number yet."""
        return 0, []
