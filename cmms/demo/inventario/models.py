"""The two models that the integration keeps the same as Dynamics 365, as far as it sees them."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class Activo(models.Model):
    """An asset."""

    class Estado(models.TextChoices):
        """Whether it works."""

        OPERATIVO = "OPERATIVO", "Operativo"
        MANTENIMIENTO = "MANTENIMIENTO", "En mantenimiento"
        REPARACION = "REPARACION", "En reparación"
        FUERA_SERVICIO = "FUERA_SERVICIO", "Fuera de servicio"
        OBSOLETO = "OBSOLETO", "Obsoleto"

    codigo_interno = models.CharField("código interno", max_length=50, unique=True)
    nombre = models.CharField(max_length=200)
    serie = models.CharField("número de serie", max_length=100, null=True, blank=True)  # noqa: DJ001 - as in Energy CMMS
    costo = models.DecimalField(max_digits=10, decimal_places=2, null=True, blank=True)
    valor_libros = models.DecimalField("valor en libros", max_digits=12, decimal_places=2, null=True, blank=True)
    fecha_compra = models.DateField("fecha de compra", null=True, blank=True)
    estado = models.CharField(max_length=20, choices=Estado.choices, default=Estado.OPERATIVO)
    actualizado_en = models.DateTimeField("actualizado", auto_now=True)

    class Meta:
        verbose_name = "activo"
        verbose_name_plural = "activos"

    def __str__(self) -> str:
        return f"{self.codigo_interno} {self.nombre}"


class Requisicion(models.Model):
    """A purchase requisition."""

    class Estado(models.TextChoices):
        """Where it is on its way to a purchase."""

        BORRADOR = "BORRADOR", "Borrador"
        PENDIENTE = "PENDIENTE", "Pendiente"
        AUTORIZADO = "AUTORIZADO", "Autorizado"
        VISTO_PROCURA = "VISTO_PROCURA", "Visto por procura"
        PROCURA_PROCESANDO = "PROCURA_PROCESANDO", "Procura procesando"
        SOLICITUD_INFORMACION = "SOLICITUD_INFORMACION", "Solicitud de información"
        EN_ORDEN_COMPRA = "EN_ORDEN_COMPRA", "En orden de compra"
        RECHAZADO = "RECHAZADO", "Rechazado"
        CANCELADO = "CANCELADO", "Cancelado"
        RECIBIDA = "RECIBIDA", "Recibida"

    numero_requisicion = models.CharField("número", max_length=100, unique=True)
    justificacion = models.TextField("justificación", blank=True)
    total = models.DecimalField(max_digits=15, decimal_places=2, null=True, blank=True)
    estado = models.CharField(max_length=30, choices=Estado.choices, default=Estado.BORRADOR)
    fecha_creacion = models.DateTimeField("fecha de creación", default=timezone.now)

    class Meta:
        verbose_name = "requisición"
        verbose_name_plural = "requisiciones"

    def __str__(self) -> str:
        return self.numero_requisicion
