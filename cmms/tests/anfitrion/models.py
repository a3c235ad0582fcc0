"""Models as hosts have them: other primary keys, inheritance, managers that join, rules of their own."""

from __future__ import annotations

import uuid
from typing import Any

import django
from django.core.exceptions import ValidationError
from django.db import models


class Taller(models.Model):
    nombre = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.nombre


class EquipoManager(models.Manager[Any]):
    def get_queryset(self) -> models.QuerySet[Equipo]:
        rows: models.QuerySet[Equipo] = super().get_queryset().select_related("taller")
        return rows.annotate(lecturas_hechas=models.Count("lectura"))


class Equipo(models.Model):
    """Its default manager joins loosely and aggregates; `clean` looks at another column than the one written."""

    codigo = models.CharField(max_length=50, unique=True)
    nombre = models.CharField(max_length=50, blank=True)
    serie = models.CharField(max_length=50, blank=True)
    isv = models.DecimalField(max_digits=12, decimal_places=2, default=0)
    neto = models.DecimalField(max_digits=12, decimal_places=2, default=0)
    revisado_en = models.DateTimeField(null=True, blank=True)
    taller = models.ForeignKey(Taller, null=True, blank=True, on_delete=models.CASCADE)

    objects = EquipoManager()

    def __str__(self) -> str:
        return self.codigo

    @property
    def total(self) -> Any:
        return self.neto + self.isv

    def clean(self) -> None:
        if self.serie == "bad":
            raise ValidationError({"serie": "this serial number is not one"})


class Lectura(models.Model):
    equipo = models.ForeignKey(Equipo, on_delete=models.CASCADE)

    def __str__(self) -> str:
        return str(self.pk)


class Grua(Equipo):
    """A child of a concrete parent."""

    carga = models.IntegerField(default=0)


class EquipoRevisado(Equipo):
    """A proxy."""

    class Meta:
        proxy = True


class Medidor(models.Model):
    """A UUID as primary key, a key that `save` changes, and a column that a create must be given."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    codigo = models.CharField(max_length=50, unique=True)
    responsable = models.CharField(max_length=50)
    notas = models.TextField(blank=True)

    def __str__(self) -> str:
        return self.codigo

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.codigo = self.codigo.upper()
        super().save(*args, **kwargs)


class Tipo(models.Model):
    """A text as primary key, which may hold anything."""

    codigo = models.CharField(max_length=100, primary_key=True)
    nombre = models.CharField(max_length=50, unique=True)

    def __str__(self) -> str:
        return self.codigo


class Pedido(models.Model):
    """A column that the database computes, where Django has them (5.0)."""

    codigo = models.CharField(max_length=50, unique=True)
    neto = models.DecimalField(max_digits=12, decimal_places=2, default=0)
    if django.VERSION >= (5, 0):
        doble = models.GeneratedField(
            expression=models.F("neto") * 2,
            output_field=models.DecimalField(max_digits=13, decimal_places=2),
            db_persist=True,
        )

    def __str__(self) -> str:
        return self.codigo
