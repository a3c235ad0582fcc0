"""Files that a Windows tool wrote: whatever byte order mark is before them, they are read."""

import json
import os
from pathlib import Path

import pytest

from local.emulators.functions_host.settings import load_local_settings
from ops.settings import read_file
from shared.settings import DOCUMENT_MAPPING
from shared.wiring import load_mapping

CONTENT = {"Values": {"SYNC_LEDGER": "sqlite:///año.sqlite3"}}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_mapping_is_read_with_and_without_a_mark(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "mapping.toml"
    path.write_text(DOCUMENT_MAPPING.read_text(encoding="utf-8"), encoding=encoding)
    assert load_mapping(path) == load_mapping(DOCUMENT_MAPPING)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_settings_file_is_read_with_and_without_a_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    monkeypatch.setattr(os, "environ", {})
    path = tmp_path / "local.settings.json"
    path.write_text(json.dumps(CONTENT, ensure_ascii=False), encoding=encoding)
    assert read_file(path) == CONTENT["Values"]
    load_local_settings(path)
    assert os.environ == CONTENT["Values"]
