from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Iterator, Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import models, reset_queries, router
from django.utils.translation import gettext as _

from integracion_dynamics.announcing import Difference, compare
from integracion_dynamics.config import entities
from integracion_dynamics.content import CHUNK, pks_by_key, records
from integracion_dynamics.entities import Entity
from integracion_dynamics.models import Registro
from integracion_dynamics.recording import announce

_SHOWN = 10


class Command(BaseCommand):
    """Announces what nobody announced: at the first start, after a bulk operation, after a restore."""

    help = (
        "Compares the records with what was last announced and writes a message for each that differs; also for those"
        " that are gone. Each chunk is a transaction of its own: it can be interrupted and started again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("entidad", nargs="*", help="entities of INTEGRACION_DYNAMICS; all where none is named")
        parser.add_argument("--clave", action="append", default=[], help="only the record with this key; repeatable")
        parser.add_argument("--id", action="append", default=[], help="only the record with this id; repeatable")
        parser.add_argument("--todo", action="store_true", help="announce also what was announced as it is: a resync")
        parser.add_argument("--chunk", type=_chunk, default=CHUNK, help=f"records in one transaction (1 to {CHUNK})")
        parser.add_argument("--dry-run", action="store_true", help="only count and name what differs")

    def handle(self, *_arguments: Any, **options: Any) -> None:
        """Announce, entity by entity.

        Raises:
            CommandError: an unknown entity, or a key that no record of the one entity holds.
        """
        known = entities()
        names = options["entidad"] or list(known)
        if unknown := sorted(set(names) - known.keys()):
            raise CommandError(
                _("No such entity: %(unknown)s; known are: %(known)s.")
                % {"unknown": ", ".join(unknown), "known": ", ".join(known)}
            )
        if (options["clave"] or options["id"]) and len(names) != 1:
            raise CommandError(_("--clave and --id need one entity."))
        for name in names:
            self._entity(known[name], options)

    def _entity(self, entity: Entity, options: dict[str, Any]) -> None:
        using = router.db_for_write(entity.model)
        found = dict.fromkeys(Difference, 0)
        shown: list[str] = []
        written = 0
        for pks in _chunks(self._wanted(entity, using, options), options["chunk"]):
            compared = compare(entity, pks, using)
            to_say = [pk for pk, difference in compared.items() if options["todo"] or difference is not Difference.SAME]
            for difference in compared.values():
                found[difference] += 1
            shown += [f"  {_(compared[pk].value)}: {pk}" for pk in to_say[: _SHOWN - len(shown)]]
            if to_say and not options["dry_run"]:
                written += announce(entity, to_say, using, repeat=options["todo"])
            reset_queries()  # with DEBUG Django keeps the text of each statement
        counts = ", ".join(f"{count} {_(kind.value)}" for kind, count in found.items())
        told = {"entity": entity.name, "counts": counts, "written": written}
        self.stdout.write(_("%(entity)s: %(counts)s; %(written)d messages written.") % told)
        if options["dry_run"]:
            for line in shown:
                self.stdout.write(line)

    def _wanted(self, entity: Entity, using: str, options: dict[str, Any]) -> Iterator[str]:
        if not (options["clave"] or options["id"]):
            yield from _all(entity, using)
            return
        by_key = pks_by_key(entity, options["clave"], using)
        if missing := [key for key in options["clave"] if key not in by_key]:
            message = _("No record of %(entity)s has the key %(key)r: name a deleted one by --id.")
            raise CommandError(message % {"entity": entity.name, "key": missing[0]})
        yield from [*by_key.values(), *options["id"]]


def _all(entity: Entity, using: str) -> Iterator[str]:
    """The ids of all records, then those of which only a memory is left."""
    for pks in _pages(records(entity, using), "pk"):
        yield from map(str, pks)
    alive = Registro.objects.using(using).filter(entidad=entity.name, borrado=False, revision__gt=0)
    for rows in _pages(alive, "objeto"):
        there = set(map(str, records(entity, using).filter(pk__in=rows).values_list("pk", flat=True)))
        yield from (pk for pk in rows if pk not in there)


def _pages(rows: models.QuerySet[Any], attribute: str) -> Iterator[list[Any]]:
    """The attribute's values in the order of the primary key, without a cursor that a pool of connections may lose."""
    last: Any = None
    while True:
        following = rows.order_by("pk") if last is None else rows.order_by("pk").filter(pk__gt=last)
        some = list(following.values_list("pk", attribute)[:CHUNK])
        if not some:
            return
        last = some[-1][0]
        yield [value for _pk, value in some]


def _chunks(pks: Iterator[str], size: int) -> Iterator[Sequence[str]]:
    some: list[str] = []
    for pk in pks:
        some.append(pk)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some


def _chunk(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= CHUNK:
        return int(text)
    raise ArgumentTypeError(_("use a number from 1 to %(most)d.") % {"most": CHUNK})
