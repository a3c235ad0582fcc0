"""The outbox, the memory of the records, and the leases, for the people who run the CMMS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import router
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from .config import entities
from .content import chunks
from .models import Mensaje, Registro, Relevo
from .recording import announce

if TYPE_CHECKING:
    _Base = admin.ModelAdmin[Any]
else:
    _Base = admin.ModelAdmin


_NAMED = 100


class _ReadOnly(_Base):
    """Nothing is added, edited or deleted by hand: actions do what is safe."""

    actions_on_bottom = True

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let only actions change what is shown."""
        return obj is None and super().has_change_permission(request)

    def _log(self, request: HttpRequest, rows: QuerySet[Any], what: str) -> None:
        """Keep in the admin's history who did what, to how many rows, and the first of them by id."""
        ids = ", ".join(map(str, rows.order_by("pk").values_list("pk", flat=True)[:_NAMED]))
        LogEntry.objects.create(
            user_id=str(request.user.pk),
            content_type=ContentType.objects.get_for_model(self.model),
            object_repr=f"{rows.count()} {self.opts.verbose_name_plural}",
            action_flag=CHANGE,
            change_message=f"{what}: {ids}",
        )


class Estado(admin.SimpleListFilter):
    """Where a message is on its way."""

    title = "estado"
    parameter_name = "estado"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The choices."""
        return [("por_enviar", "por enviar"), ("omitido", "omitido"), ("enviado", "enviado"), ("corto", "sin valores")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The chosen rows."""
        unsent = queryset.filter(enviado_en__isnull=True)
        chosen = {
            "por_enviar": unsent.filter(motivo_fallo=""),
            "omitido": unsent.exclude(motivo_fallo=""),
            "enviado": queryset.filter(enviado_en__isnull=False),
            "corto": queryset.filter(sin_valores=True),
        }
        return chosen.get(str(self.value()), queryset)


@admin.register(Mensaje)
class MensajeAdmin(_ReadOnly):
    """The outbox."""

    list_display = ("id", "tipo", "clave", "cola", "creado", "enviado_en", "intentos", "sin_valores", "motivo")
    list_filter = (Estado, "cola", "entidad")
    search_fields = ("=clave", "=evento")
    ordering = ("-id",)
    show_full_result_count = False
    actions = ("reintentar", "descartar")

    @admin.display(description="motivo del fallo")
    def motivo(self, row: Mensaje) -> str:
        """Why it was skipped, in short."""
        return row.motivo_fallo[:100]

    @admin.action(description="Reintentar el envío de los mensajes omitidos", permissions=["change"])
    def reintentar(self, request: HttpRequest, queryset: QuerySet[Mensaje]) -> None:
        """Let the relay try skipped messages again."""
        skipped = queryset.filter(enviado_en__isnull=True).exclude(motivo_fallo="")
        self._log(request, skipped, "Reintentado")
        self.message_user(request, f"{skipped.update(motivo_fallo='')} mensajes se enviarán de nuevo.")

    @admin.action(description="Descartar los mensajes por enviar (no se enviarán)", permissions=["change"])
    def descartar(self, request: HttpRequest, queryset: QuerySet[Mensaje]) -> None:
        """Mark unsent messages as settled without sending them; the next full comparison finds what they said."""
        reason = f"Descartado por {request.user.get_username()}"
        unsent = queryset.filter(enviado_en__isnull=True)
        self._log(request, unsent, "Descartado")
        count = unsent.update(motivo_fallo=reason, enviado_en=timezone.now())
        text = f"{count} mensajes descartados; la comparación completa hallará lo que decían."
        self.message_user(request, text, messages.WARNING)


@admin.register(Registro)
class RegistroAdmin(_ReadOnly):
    """What the integration knows of each record."""

    list_display = ("entidad", "objeto", "clave", "version", "modificado_por", "borrado", "revision", "enlace")
    list_filter = ("entidad", "borrado", "modificado_por")
    search_fields = ("=clave", "=objeto", "=creado_por")
    ordering = ("-id",)
    show_full_result_count = False
    actions = ("anunciar",)

    @admin.display(description="registro")
    def enlace(self, row: Registro) -> str:
        """A link to the host's own page of the record, where the host's admin has one."""
        entity = entities().get(row.entidad)
        if entity is None or row.borrado or entity.model not in self.admin_site._registry:  # noqa: SLF001 - `is_registered` is the same
            return "-"
        options = entity.model._meta  # noqa: SLF001 - Django's documented model API
        name = f"{self.admin_site.name}:{options.app_label}_{options.model_name}_change"
        return format_html('<a href="{}">{}</a>', reverse(name, args=[row.objeto]), row.clave)

    @admin.action(description="Anunciar de nuevo", permissions=["change"])
    def anunciar(self, request: HttpRequest, queryset: QuerySet[Registro]) -> None:
        """Write a message for each chosen record, with what it holds now."""
        written = 0
        self._log(request, queryset, "Anunciado de nuevo")
        for name, entity in entities().items():
            ids = list(queryset.filter(entidad=name).values_list("objeto", flat=True))
            using = router.db_for_write(entity.model)  # the page itself may have been read from a replica
            written += sum(announce(entity, some, using, repeat=True) for some in chunks(ids))
        self.message_user(request, f"{written} mensajes escritos.")


@admin.register(Relevo)
class RelevoAdmin(_ReadOnly):
    """Which relay works."""

    list_display = ("nombre", "titular", "vence")
