from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error as DatabaseFault
from django.db import close_old_connections, reset_queries, router
from django.utils.translation import gettext as _

from integracion_dynamics.config import current
from integracion_dynamics.content import CHUNK
from integracion_dynamics.health import LATE, examine
from integracion_dynamics.models import Mensaje
from integracion_dynamics.purging import KEPT_DAYS, LONGEST_DAYS, purge_chunk
from integracion_dynamics.relay import PAGE, Relay

try:
    from integracion_dynamics.service_bus import AzureServiceBus
except ModuleNotFoundError:  # a web server needs no broker, and may ask for --status
    AzureServiceBus = None  # type: ignore[assignment,misc]

logger = logging.getLogger("integracion_dynamics.relay")
_BETWEEN_PRUNINGS = 3600.0


class Command(BaseCommand):
    """Runs the relay until it is told to stop."""

    help = "Sends the outbox to Service Bus until SIGTERM or Ctrl-C. Several share the records."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--once", action="store_true", help="send what is unsent, print a count, and end")
        parser.add_argument("--interval", type=float, default=1.0, help="seconds between looks at an empty outbox")
        parser.add_argument(
            "--retry-failed", action="store_true", help="first try again what was skipped with a reason"
        )
        parser.add_argument(
            "--status", action="store_true", help="print how the outbox is and end; exit code 1 if it is not well"
        )
        parser.add_argument("--late", type=float, default=LATE, help="for --status: seconds that a message may wait")
        parser.add_argument(
            "--keep-days", type=int, default=KEPT_DAYS, help="delete what was sent more days ago, in idle moments (30)"
        )
        parser.add_argument("--exit-with-stdin", action="store_true", help="end when standard input closes")

    def handle(self, *_arguments: Any, **options: Any) -> None:
        """Run.

        Raises:
            CommandError: with --once, when something could not be sent; with --status, when the outbox is not well.
        """
        if not 0 < options["interval"] <= 3600:  # noqa: PLR2004 - the bounds stand in the message
            raise CommandError(_("--interval is in seconds, above 0 and at most 3600."))
        if not 0 <= options["keep_days"] <= LONGEST_DAYS:
            raise CommandError(_("--keep-days is from 0 to %(most)d.") % {"most": LONGEST_DAYS})
        using = router.db_for_write(Mensaje)
        if options["status"]:
            self._status(using, options["late"])
            return
        if AzureServiceBus is None:
            raise CommandError(_("The broker's SDK is missing: pip install 'energy-cmms-dynamics[relay]'."))
        if options["retry_failed"]:
            skipped = Mensaje.objects.using(using).filter(enviado_en__isnull=True).exclude(motivo_fallo="")
            retried = {"count": skipped.update(motivo_fallo="")}
            self.stdout.write(_("%(count)d skipped messages are tried again.") % retried)
        stop = threading.Event()
        if options["exit_with_stdin"]:
            threading.Thread(target=_await_end_of_input, args=(stop,), daemon=True).start()
        sender = AzureServiceBus(current().service_bus)
        relay = Relay(sender, using)
        with _stopped_by_signals(stop), contextlib.closing(sender):
            try:
                if options["once"]:
                    self._once(relay, stop)
                else:
                    run_until(stop, relay, options["interval"], Pruning(using, options["keep_days"]))
            finally:
                with contextlib.suppress(DatabaseFault):  # the leases then simply expire
                    relay.partitions.release()

    def _status(self, using: str, late: float) -> None:
        health = examine(using)
        age = "" if health.oldest is None else _(", the oldest for %(seconds).0f s") % {"seconds": health.oldest}
        relay = _("relay %(holder)s") % {"holder": ", ".join(health.relays)} if health.relays else _("no relay at work")
        told = {"unsent": health.unsent, "age": age, "skipped": health.skipped, "relay": relay}
        self.stdout.write(_("%(unsent)d waiting%(age)s; %(skipped)d skipped with a reason; %(relay)s.") % told)
        if not health.well(late):
            message = _("Messages are skipped, or wait longer than %(late)g s: see the admin and the relay's log.")
            raise CommandError(message % {"late": late})

    def _once(self, relay: Relay, stop: threading.Event) -> None:
        progress = relay.drain(stop.is_set)
        if not progress.held:
            raise CommandError(_("Another relay is at work: stop it, or leave the sending to it."))
        waiting = relay.unsent().count()
        told = {"sent": progress.sent, "refused": progress.refused, "waiting": waiting}
        self.stdout.write(_("%(sent)d sent, %(refused)d skipped with a reason, %(waiting)d waiting.") % told)
        if waiting and not stop.is_set():
            raise CommandError(_("Not everything could be sent: see the log for the reason, and run again."))


class Pruning:
    """Deletes old messages: every hour, a chunk in each idle moment until none is left."""

    def __init__(self, using: str, days: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`days` is how long messages are kept after they were sent."""
        self._using, self._days, self._clock = using, days, clock
        self._due = clock()

    def __call__(self) -> None:
        """Delete a chunk, if it is time."""
        if self._clock() >= self._due and purge_chunk(self._using, self._days) < CHUNK:
            self._due = self._clock() + _BETWEEN_PRUNINGS


def run_until(stop: threading.Event, relay: Relay, interval: float, prune: Callable[[], None]) -> None:
    """Pass after pass, without a pause while pages are full; an absent database is waited for."""
    absent = False
    while not stop.is_set():
        full = False
        try:
            progress = relay.run_once()
            full = progress.sent + progress.refused >= PAGE
            if 0 in relay.partitions.held and not full:  # one relay is enough for it
                prune()
            if absent:
                logger.warning("The database answers again.")
            absent = False
        except DatabaseFault as error:
            # Away, read-only after a failover, or being migrated: whatever it is, it passes.
            if not absent:
                logger.warning("The database does not answer and is tried again until it does: %s", error)
            absent = True
        close_old_connections()
        reset_queries()  # with DEBUG Django keeps the text of each statement
        if not full:
            stop.wait(interval)


def _await_end_of_input(stop: threading.Event) -> None:
    # Below Python's buffers: a thread inside them at exit would abort the interpreter.
    with contextlib.suppress(OSError):
        while os.read(sys.__stdin__.fileno() if sys.__stdin__ else 0, 4096):
            pass
    stop.set()


@contextlib.contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
