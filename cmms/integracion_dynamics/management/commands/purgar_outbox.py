from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import router
from django.utils import timezone

from integracion_dynamics.content import CHUNK
from integracion_dynamics.models import Mensaje


class Command(BaseCommand):
    """Deletes old messages that were sent."""

    help = "Deletes messages that were sent some days ago; what was not sent stays."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--dias", type=int, default=30, help="keep the messages of this many days (30)")

    def handle(self, *_: Any, **options: Any) -> None:
        """Delete in small transactions, so that nobody waits for a lock.

        Raises:
            CommandError: a number of days that makes no sense.
        """
        if not 0 <= options["dias"] <= 36500:  # noqa: PLR2004 - the bounds stand in the message
            raise CommandError("--dias is a number of days from 0 to 36500.")
        rows = Mensaje.objects.using(router.db_for_write(Mensaje))
        old = rows.filter(enviado_en__lt=timezone.now() - timedelta(days=options["dias"]))
        deleted = 0
        while some := list(old.values_list("pk", flat=True)[:CHUNK]):
            deleted += rows.filter(pk__in=some).delete()[0]
        self.stdout.write(f"{deleted} sent messages deleted.")
