"""What the host has around the app: addresses, middleware, caches, sign-in."""

from __future__ import annotations

import gzip
import inspect
import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import django
import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db.models.signals import pre_save
from django.test import Client
from django.urls import resolve, reverse
from django.utils.deprecation import MiddlewareMixin

from .helpers import address_of, make_asset
from .hosts import patch, post, receiving

pytestmark = pytest.mark.django_db


def test_the_hosts_reverse_works_with_the_apps_addresses_and_so_does_its_admin(admin_client: Client) -> None:
    assert reverse("inicio") == "/"
    assert (
        reverse("integracion_dynamics:registro", kwargs={"entidad": "activos", "id": "a/b"})
        == "/integracion/activos/a/b/"
    )
    assert admin_client.get(reverse("admin:index")).status_code == 200


def modules_of_django() -> Iterator[str]:
    """The modules of Django that hold middleware."""
    folder = Path(django.__file__).parent
    for path in (*folder.glob("middleware/*.py"), *folder.glob("contrib/*/middleware.py")):
        yield ".".join(path.with_suffix("").relative_to(folder.parent).parts)


def shipped() -> set[str]:
    """The middleware classes of this Django, by their dotted names."""
    classes = (
        f"{module}.{name}"
        for module in modules_of_django()
        for name, value in vars(import_module(module)).items()
        if inspect.isclass(value) and issubclass(value, MiddlewareMixin) and value.__module__ == module
    )
    return set(classes)


# In the order of Django's documentation. Those that some Django does not have are left out there.
ORDER = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "django.middleware.cache.UpdateCacheMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.http.ConditionalGetMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.BrokenLinkEmailsMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.auth.middleware.RemoteUserMiddleware",
    "django.contrib.auth.middleware.PersistentRemoteUserMiddleware",
    "django.contrib.sites.middleware.CurrentSiteMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.contrib.admindocs.middleware.XViewMiddleware",
    "django.middleware.cache.CacheMiddleware",
    "django.middleware.cache.FetchFromCacheMiddleware",
    "django.contrib.flatpages.middleware.FlatpageFallbackMiddleware",
    "django.contrib.redirects.middleware.RedirectFallbackMiddleware",
]
# Both at once would each undo the other's half of the cache.
CHOSEN = [name for name in ORDER if name in shipped() and not name.endswith(".CacheMiddleware")]
SHIPPED = [*CHOSEN, "integracion_dynamics.middleware.traceparent"]
needs_login_middleware = pytest.mark.skipif(django.VERSION < (5, 1), reason="LoginRequiredMiddleware came with 5.1")


@pytest.fixture
def every_middleware(settings: Any) -> None:
    settings.MIDDLEWARE = SHIPPED
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    cache.clear()


def test_no_middleware_of_this_django_is_left_out() -> None:
    assert shipped() <= set(ORDER)


def test_with_every_middleware_that_django_ships_the_api_reads_and_writes(api: Client, every_middleware: None) -> None:
    strict = Client(enforce_csrf_checks=True, headers={})
    strict.defaults.update(api.defaults)
    created = post(strict, {"codigo_interno": "1", "nombre": "x"}, **{"Operation-Id": "a"})
    assert created.status_code == 201, created.content
    address = f"/integracion/activos/{created.json()['id']}/"
    assert strict.get(address).json() == created.json()
    assert patch(strict, address, {"nombre": "y"}, **{"If-Match": created.json()["etag"]}).status_code == 200
    listed = strict.get("/integracion/activos/", headers={"Accept-Encoding": "gzip", "Accept-Language": "es"})
    assert listed.status_code == 200


def test_the_etag_in_the_body_serves_also_where_a_middleware_weakens_the_headers(
    api: Client, every_middleware: None
) -> None:
    make_asset(nombre="x" * 200)  # long enough to be compressed
    answer = api.get(address_of("0001"), headers={"Accept-Encoding": "gzip"})
    assert answer["ETag"].startswith("W/")
    body = json.loads(gzip.decompress(answer.content))
    assert patch(api, address_of("0001"), {"nombre": "y"}, **{"If-Match": answer["ETag"]}).status_code == 412
    assert patch(api, address_of("0001"), {"nombre": "y"}, **{"If-Match": body["etag"]}).status_code == 200


def test_a_write_has_a_transaction_of_its_own_also_where_each_request_has_one() -> None:
    assert resolve("/integracion/activos/").func.__dict__["_non_atomic_requests"] == {"default"}


def test_no_cache_serves_an_old_record_or_one_without_a_token(api: Client, every_middleware: None) -> None:
    asset = make_asset(nombre="old")
    address = address_of("0001")
    assert api.get(address).json()["campos"]["nombre"] == "old"
    asset.nombre = "new"
    asset.save()
    assert api.get(address).json()["campos"]["nombre"] == "new"
    assert Client().get(address).status_code == 401
    assert "no-store" in api.get(address)["Cache-Control"]


@needs_login_middleware
def test_the_page_of_a_person_is_sent_to_the_login_and_the_api_is_not(every_middleware: None, settings: Any) -> None:
    settings.LOGIN_URL = "/admin/login/"
    assert Client().get("/").status_code == 302
    assert Client().get("/integracion/activos/").status_code == 401


def test_writes_by_the_api_are_the_service_users(
    api: Client, configuration: dict[str, Any], settings: Any, every_middleware: None
) -> None:
    seen: list[Any] = []

    class Audit:
        """As history apps do: remember the request, and ask it at the save who acts."""

        def __init__(self, get_response: Any) -> None:
            self.get_response = get_response

        def __call__(self, request: Any) -> Any:
            with receiving(pre_save, lambda **_: seen.append(request.user.get_username())):
                return self.get_response(request)

    monkey = pytest.MonkeyPatch()
    monkey.setattr("integracion_dynamics.middleware.audit", Audit, raising=False)
    settings.MIDDLEWARE = [*SHIPPED, "integracion_dynamics.middleware.audit"]
    settings.INTEGRACION_DYNAMICS = {**configuration, "SERVICE_USER": "dynamics"}
    refused = post(api, {"codigo_interno": "1", "nombre": "x"})
    assert (refused.status_code, refused.json()["error"]["codigo"]) == (503, "mal_configurado")
    User.objects.create_user("dynamics")
    assert post(api, {"codigo_interno": "1", "nombre": "x"}).status_code == 201
    assert seen == ["dynamics"]
    monkey.undo()


def test_a_faulty_setting_is_answered_503_in_the_apis_form(
    api: Client, configuration: dict[str, Any], settings: Any
) -> None:
    settings.INTEGRACION_DYNAMICS = {**configuration, "TOKENS": [""]}
    answer = api.get("/integracion/activos/")
    assert (answer.status_code, answer.json()["error"]["codigo"]) == (503, "mal_configurado")
