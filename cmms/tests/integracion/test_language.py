"""Sentences in English and in Spanish."""

from __future__ import annotations

import ast
import gettext
import re
from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import translation

from integracion_dynamics.checks import check_configuration

APP = Path(__file__).resolve().parents[2] / "integracion_dynamics"
CATALOGUE = APP / "locale" / "es" / "LC_MESSAGES"


def sentences() -> set[str]:
    """Everything in the sources that is marked as translatable."""
    found = set()
    for source in APP.rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"_", "gettext_noop"}:
                (text,) = node.args
                if isinstance(text, ast.Constant):
                    found.add(str(text.value))
    return found


def compiled() -> dict[str, str]:
    with (CATALOGUE / "django.mo").open("rb") as file:
        catalogue: dict[str, str] = vars(gettext.GNUTranslations(file))["_catalog"]
    return {english: spanish for english, spanish in catalogue.items() if english}


def written() -> dict[str, str]:
    pairs = re.findall(r'^msgid (".+")\nmsgstr (".*")$', (CATALOGUE / "django.po").read_text("utf-8"), re.MULTILINE)
    return {ast.literal_eval(english): ast.literal_eval(spanish) for english, spanish in pairs}


def test_every_sentence_is_in_spanish_too_and_no_other_is() -> None:
    assert compiled().keys() == sentences()
    assert compiled() == written(), "run: msgfmt -o django.mo django.po"


@pytest.mark.parametrize(("english", "spanish"), compiled().items(), ids=lambda text: text[:40])
def test_a_translation_says_the_same_values(english: str, spanish: str) -> None:
    values = re.compile(r"%\(\w+\)[drsg]|%%|\bINTEGRACION_DYNAMICS\b|\b[A-Z]+_[A-Z_]+\b")
    assert sorted(values.findall(spanish)) == sorted(values.findall(english))
    assert spanish
    assert (spanish[-1] == ".") == (english[-1] == ".")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (None, "No record"),
        ("es", "Ningún registro"),
        ("es-HN,es;q=0.9,en;q=0.8", "Ningún registro"),
        ("en-US,es;q=0.5", "No record"),
        ("fr", "No record"),
        ("x" * 5000, "No record"),
        ("", "No record"),
    ],
)
def test_the_api_speaks_english_unless_the_caller_prefers_spanish(api: Client, wanted: str | None, said: str) -> None:
    headers = {} if wanted is None else {"Accept-Language": wanted}
    answer = api.get("/integracion/activos/0/", headers=headers)
    assert answer.json()["error"]["mensaje"].startswith(said)


def test_the_checks_speak_the_hosts_language() -> None:
    with translation.override("es-hn"):
        (warning,) = check_configuration()
    assert "no nombra ningún Service Bus" in warning.msg


@pytest.mark.parametrize(
    ("command", "arguments", "said"),
    [
        ("relay_outbox", ["--status"], "0 en espera; 0 omitidos con su motivo; ningún relevo trabaja.\n"),
        ("anunciar", ["activos"], "activos: 0 nunca anunciados, 0 cambiados desde entonces, 0 borrados desde"),
        ("purgar_outbox", [], "Borrados: 0 mensajes enviados, 0 omitidos, 0 lápidas.\n"),
    ],
)
def test_the_commands_speak_the_hosts_language(
    db: None, capsys: pytest.CaptureFixture[str], command: str, arguments: list[str], said: str
) -> None:
    call_command(command, *arguments)
    assert capsys.readouterr().out.startswith(said)
