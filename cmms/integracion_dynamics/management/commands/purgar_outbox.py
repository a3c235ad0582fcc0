from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import router
from django.utils.translation import gettext as _

from integracion_dynamics.models import Mensaje
from integracion_dynamics.purging import KEPT_DAYS, purge


class Command(BaseCommand):
    """Deletes old messages and, on request, old tombstones."""

    help = "Deletes messages that were sent some days ago; on request also skipped messages and tombstones."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--dias", type=int, default=KEPT_DAYS, help="keep sent messages for this many days (30)")
        parser.add_argument("--omitidos", type=int, help="delete skipped messages older than this many days")
        parser.add_argument("--lapidas", type=int, help="delete tombstones older than this many days")

    def handle(self, *_arguments: Any, **options: Any) -> None:
        """Delete in small transactions.

        Raises:
            CommandError: a number of days that makes no sense.
        """
        try:
            deleted = purge(
                router.db_for_write(Mensaje),
                sent=options["dias"],
                skipped=options["omitidos"],
                tombstones=options["lapidas"],
            )
        except ValueError as error:
            raise CommandError(f"--dias, --omitidos, --lapidas: {error}") from None
        told = _("Deleted: %(enviados)d sent messages, %(omitidos)d skipped ones, %(lapidas)d tombstones.")
        self.stdout.write(told % deleted)
