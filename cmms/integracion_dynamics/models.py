"""The app's three tables: the outbox, the memory of each record, and the relay's lease."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.db import models

from .fields import EPOCH, instant


class Registro(models.Model):
    """What the integration knows of one record: revision, version, who changed it last, whether it is gone.

    `objeto` is the primary key of the host's row as text: it identifies the record. `clave` is the business key as last
    announced, a value that may change. The row outlives its record as a tombstone, and is used again should a row with
    the same primary key come back. `revision` 0 means that nothing was announced yet. `huella` is the hash of the
    content last announced. `visto_en` is when a list of changes first saw the last change committed, null until then;
    it
    orders that list. `operaciones` are the last writes of the integration that the record took, by their
    `Operation-Id`, oldest first; `creado_por` is the `Operation-Id` of the request that created the record.
    """

    class Autor(models.TextChoices):
        """Who made the last change."""

        PERSONA = "persona", "Persona"
        INTEGRACION = "integracion", "Integración"

    entidad = models.CharField(max_length=50)
    objeto = models.CharField(max_length=255)
    clave = models.CharField(max_length=255, blank=True)
    revision = models.PositiveBigIntegerField(default=0)
    version = models.DateTimeField(default=EPOCH)
    modificado_en = models.DateTimeField(default=EPOCH)
    modificado_por = models.CharField(max_length=11, choices=Autor.choices, default=Autor.PERSONA)
    borrado = models.BooleanField(default=False)
    visto_en = models.DateTimeField(null=True, blank=True)
    huella = models.CharField(max_length=64, blank=True)
    operaciones = models.JSONField(default=list, blank=True)
    # Null, not empty, where people made the record: a unique column holds many nulls.
    creado_por = models.CharField(max_length=100, null=True, blank=True)  # noqa: DJ001

    class Meta:
        verbose_name = "registro integrado"
        verbose_name_plural = "registros integrados"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["entidad", "objeto"], name="registro_objeto_unico"),
            models.UniqueConstraint(fields=["entidad", "creado_por"], name="registro_creado_por_unico"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["entidad", "clave"], name="registro_clave"),
            models.Index(fields=["entidad", "visto_en", "version", "id"], name="registro_visto"),
        ]

    def __str__(self) -> str:
        return f"{self.entidad} {self.clave or self.objeto}"


class Mensaje(models.Model):
    """One message of the outbox, written with the change that it announces; its id is the sequence.

    `cuerpo` is the CloudEvent's `data` without the sequence, which is known only once the row is stored. `particion` is
    the same for all messages of a record: relays share the partitions. `sin_valores` says that the message was too
    large for the queue and was sent without its values.
    """

    evento = models.UUIDField(default=uuid.uuid4, unique=True)
    entidad = models.CharField(max_length=50)
    cola = models.CharField(max_length=260)
    particion = models.PositiveSmallIntegerField()
    clave = models.CharField(max_length=255)
    tipo = models.CharField(max_length=100)
    cuerpo = models.JSONField()
    traceparent = models.CharField(max_length=55, blank=True)
    creado = models.DateTimeField()
    enviado_en = models.DateTimeField(null=True, blank=True)
    intentos = models.PositiveIntegerField(default=0)
    sin_valores = models.BooleanField(default=False)
    motivo_fallo = models.TextField(blank=True)

    class Meta:
        verbose_name = "mensaje de salida"
        verbose_name_plural = "mensajes de salida"
        indexes: ClassVar[list[models.Index]] = [
            # Unsent messages are those without an instant: one index serves sending by queue, and purging by age.
            models.Index(fields=["enviado_en", "cola", "id"], name="mensaje_por_enviar"),
        ]

    def __str__(self) -> str:
        return f"{self.tipo} {self.clave}"

    def as_event(self) -> dict[str, Any]:
        """The CloudEvent 1.0 in structured form (https://github.com/cloudevents/spec)."""
        trace = {"traceparent": self.traceparent} if self.traceparent else {}
        return {
            "specversion": "1.0",
            "id": str(self.evento),
            "source": "/energy-cmms",
            "type": self.tipo,
            "subject": self.clave,
            "time": instant(self.creado),
            "datacontenttype": "application/json",
            **trace,
            "data": {**self.cuerpo, "sequence": self.pk},
        }


class Relevo(models.Model):
    """The leases of the relays and of their partitions; one more row is the lock that gives out positions."""

    nombre = models.CharField(max_length=50, primary_key=True)
    titular = models.CharField(max_length=200, blank=True)
    vence = models.DateTimeField(default=EPOCH)

    class Meta:
        verbose_name = "turno del relevo"
        verbose_name_plural = "turnos del relevo"

    def __str__(self) -> str:
        return f"{self.nombre}: {self.titular}"
