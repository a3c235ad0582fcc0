"""One contract for both places where reports are kept: a folder, and a container of Blob Storage."""

import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from shared.adapters.reports import BlobReports, FolderReports
from shared.errors import NotAuthorized, Unavailable
from shared.flows.ports.engine import Reports
from shared.flows.reconcile.report_store import HTML, JSON, ReportStore
from tests.reconcile.blobs import Blobs, Identity, blobs
from tests.reconcile.reports import AT, full

NO_RETRIES = {"retry_total": 0, "connection_timeout": 2}


@dataclass
class Place:
    """A store, and what somebody else finds there."""

    reports: Reports
    read: Callable[[str], Awaitable[tuple[bytes, str | None]]]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Blobs]:
    with blobs(tmp_path_factory.mktemp("azurite")) as service:
        yield service


@pytest.fixture(params=["folder", "blob"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """An empty place of each kind."""
    if request.param == "folder":
        folder = tmp_path / "not" / "yet"

        async def from_folder(name: str) -> tuple[bytes, str | None]:
            return (folder / name).read_bytes(), None

        yield Place(FolderReports(folder), from_folder)
        return
    service: Blobs = request.getfixturevalue("service")
    async with service.container() as container:

        async def from_blob(name: str) -> tuple[bytes, str | None]:
            found = await container.download_blob(name)
            return await found.readall(), found.properties.content_settings.content_type

        reports = BlobReports(str(container.url), Identity(), **service.trust)
        yield Place(reports, from_blob)
        await reports.aclose()


async def test_what_was_saved_is_there_as_it_was_with_its_type(place: Place) -> None:
    content = "<p>é مضخة</p>".encode() + bytes(range(256))
    where = await place.reports.save("a.html", content, HTML)
    assert where.endswith("a.html")
    found, kind = await place.read("a.html")
    assert found == content
    assert kind in {HTML, None}


async def test_a_report_takes_the_place_of_an_older_one_of_its_name(place: Place) -> None:
    await place.reports.save("latest.json", b"1" * 1000, JSON)
    await place.reports.save("latest.json", b"2", JSON)
    assert (await place.read("latest.json"))[0] == b"2"
    assert list(await place.reports.names()) == ["latest.json"]


async def test_a_large_report_is_saved_whole(place: Place) -> None:
    content = os.urandom(9 * 1024 * 1024)
    await place.reports.save("large.html", content, HTML)
    assert (await place.read("large.html"))[0] == content


async def test_an_empty_place_has_no_names(place: Place) -> None:
    assert list(await place.reports.names()) == []


async def test_what_was_deleted_is_gone_and_may_be_deleted_again(place: Place) -> None:
    await place.reports.save("a.json", b"{}", JSON)
    await place.reports.save("b.json", b"{}", JSON)
    await place.reports.delete("a.json")
    await place.reports.delete("a.json")
    assert list(await place.reports.names()) == ["b.json"]


async def test_old_reports_go_and_the_rest_stays(place: Place) -> None:
    shelf = ReportStore(place.reports, timedelta(days=30))
    await place.reports.save("notes.txt", b"mine", "text/plain")
    old, new = full(1), full(1)
    old.at, new.run = AT - timedelta(days=31), "ffffffff"
    await shelf.put(old)
    assert old.stored is not None
    assert Path(old.stored).name in await place.reports.names()
    await shelf.put(new)
    assert new.stored is not None
    name = Path(new.stored).name
    assert sorted(await place.reports.names()) == sorted(
        [name, name.replace(".html", ".json"), "latest.html", "latest.json", "notes.txt"]
    )


async def test_the_blob_service_is_asked_with_our_identity_alone(service: Blobs) -> None:
    async with service.container() as container:
        identity = Identity()
        reports = BlobReports(str(container.url), identity, **service.trust)
        await reports.save("a.json", b"{}", JSON)
        await reports.aclose()
    assert identity.scopes == ["https://storage.azure.com/.default"]


async def test_an_identity_that_is_refused_is_told_which_role_it_needs(service: Blobs) -> None:
    async with service.container() as container:
        reports = BlobReports(str(container.url), Identity("https://other.example"), **service.trust, **NO_RETRIES)
        with pytest.raises(NotAuthorized, match="Storage Blob Data Contributor"):
            await reports.save("a.json", b"{}", JSON)
        await reports.aclose()


async def test_a_container_that_is_missing_is_told_with_its_setting(service: Blobs) -> None:
    reports = BlobReports(f"{service.url}/missing", Identity(), **service.trust, **NO_RETRIES)
    for call in (reports.save("a.json", b"{}", JSON), reports.names()):
        with pytest.raises(Unavailable, match=r"404 .*REPORT_LOCATION"):
            await call
    await reports.aclose()


async def test_a_service_that_is_away_is_told() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{probe.getsockname()[1]}/account/reports"
    reports = BlobReports(url, Identity(), **NO_RETRIES)
    with pytest.raises(Unavailable, match="cannot be used"):
        await reports.save("a.json", b"{}", JSON)
    await reports.aclose()
