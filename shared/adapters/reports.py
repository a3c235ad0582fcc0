"""Where reports are kept: a folder, or a container of Blob Storage."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from shared.errors import NotAuthorized, Unavailable

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.storage.blob.aio import ContainerClient

# The SDK is imported where it is used: only the timer's run needs it.
# ruff: noqa: PLC0415

_PIECE: Final = 1024 * 1024
"""Bytes sent in one request: more at once would hold the event loop up. A blob shows only when all of it is there."""
_OPTIONS: Final[dict[str, Any]] = {
    "connection_timeout": 5,
    "read_timeout": 30,
    "retry_total": 3,
    "max_single_put_size": _PIECE,
    "max_block_size": _PIECE,
}


class FolderReports:
    """Files in one folder, for one machine."""

    def __init__(self, folder: Path) -> None:
        """The folder is made when the first report is saved."""
        self._folder = folder

    async def save(self, name: str, content: bytes, content_type: str) -> str:  # noqa: ARG002  # a file has no type
        """Write a file, whole or not at all."""
        with _files(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            draft = self._folder / f".{name}.draft"
            draft.write_bytes(content)
            return str(draft.replace(self._folder / name))

    async def names(self) -> Sequence[str]:
        """The files' names."""
        with _files(self._folder):
            if not self._folder.exists():
                return []
            return sorted(path.name for path in self._folder.iterdir() if path.is_file())

    async def load(self, name: str) -> bytes | None:
        """Read a file."""
        with _files(self._folder):
            path = self._folder / name
            # A name is one file's, never a way out of the folder.
            return path.read_bytes() if path.parent == self._folder and path.is_file() else None

    async def delete(self, name: str) -> None:
        """Remove a file."""
        with _files(self._folder):
            (self._folder / name).unlink(missing_ok=True)


class BlobReports:
    """Blobs in one container, which exists already: our role is on the container, and makes none."""

    def __init__(self, url: str, credential: AsyncTokenCredential, **options: Any) -> None:
        """`url` is the container's address, by HTTPS; `options` go to the SDK's client."""
        self._url = url
        self._credential = credential
        self._options = {**_OPTIONS, **options}
        self._client: ContainerClient | None = None

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    async def save(self, name: str, content: bytes, content_type: str) -> str:
        """Write a blob."""
        from azure.storage.blob import ContentSettings

        with self._mapped():
            async with asyncio.timeout(120):
                blob = await self._container().upload_blob(
                    name, content, overwrite=True, content_settings=ContentSettings(content_type=content_type)
                )
        return str(blob.url)

    async def names(self) -> Sequence[str]:
        """The blobs' names."""
        with self._mapped():
            async with asyncio.timeout(120):
                return [name async for name in self._container().list_blob_names()]

    async def load(self, name: str) -> bytes | None:
        """Read a blob."""
        from azure.core.exceptions import ResourceNotFoundError

        with self._mapped():
            try:
                async with asyncio.timeout(120):
                    stream = await self._container().download_blob(name)
                    return await stream.readall()
            except ResourceNotFoundError:
                return None

    async def delete(self, name: str) -> None:
        """Remove a blob."""
        from azure.core.exceptions import ResourceNotFoundError

        with self._mapped():
            try:
                async with asyncio.timeout(60):
                    await self._container().delete_blob(name)
            except ResourceNotFoundError:
                return

    def _container(self) -> ContainerClient:
        from azure.storage.blob.aio import ContainerClient

        if self._client is None:
            self._client = ContainerClient.from_container_url(self._url, self._credential, **self._options)
        return self._client

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

        try:
            yield
        except ClientAuthenticationError as error:
            raise NotAuthorized(self._refused()) from error
        except HttpResponseError as error:
            if error.status_code == 403:  # noqa: PLR2004  # forbidden
                raise NotAuthorized(self._refused(), status=403) from error
            raise Unavailable(
                f"The reports' container {self._url} answered {error.status_code} ({error.reason}): check"
                " REPORT_LOCATION.",
                status=error.status_code,
            ) from error
        except (AzureError, TimeoutError, OSError) as error:
            raise Unavailable(f"The reports' container {self._url} cannot be used: {type(error).__name__}.") from error

    def _refused(self) -> str:
        return (
            f"Blob Storage refused our identity for {self._url}: it needs the role Storage Blob Data Contributor on"
            " that container."
        )


@contextmanager
def _files(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"The reports' folder {folder} cannot be used ({type(error).__name__}): set REPORT_LOCATION to a folder"
            " that can be written to."
        ) from error
