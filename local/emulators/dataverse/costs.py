"""How long requests take: nothing unless asked for."""

from dataclasses import dataclass


@dataclass(slots=True)
class Costs:
    """Seconds per HTTP request and per row. Time for writing passes before the write, time for reading after the read.

    A client that gives up early therefore meets both hard cases: a write that lands late, and a value that is old.
    """

    request: float = 0.0
    read_row: float = 0.0
    create_row: float = 0.0
    update_row: float = 0.0
    delete_row: float = 0.0

    def before(self, kind: str, rows: int, *, in_batch: bool) -> float:
        """Tell the seconds before an operation of a kind on so many rows is carried out."""
        per_row = {
            "create": self.create_row,
            "create_multiple": self.create_row,
            "update": self.update_row,
            "update_multiple": self.update_row,
            "upsert_multiple": max(self.create_row, self.update_row),
            "delete": self.delete_row,
        }
        return (0.0 if in_batch else self.request) + per_row.get(kind, 0.0) * rows

    def after(self, rows_read: int) -> float:
        """Tell the seconds between reading so many rows and answering."""
        return self.read_row * rows_read
