"""Where a run's report is kept, for as long as the settings say: as JSON for machines and as one page for people."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Final

from shared.errors import SyncError
from shared.flows.ports.engine import Reports
from shared.flows.reconcile.report import Report
from shared.flows.reconcile.report_html import as_html, as_json

log = logging.getLogger(__name__)

_STAMP: Final = "%Y-%m-%dT%H-%M-%SZ"
_STAMP_LENGTH: Final = 20
HTML: Final = "text/html; charset=utf-8"
JSON: Final = "application/json"


class ReportStore:
    """Stores reports and removes old ones. That a report could not be stored never undoes a run."""

    def __init__(self, reports: Reports, retention: timedelta) -> None:
        self._reports = reports
        self._retention = retention

    async def put(self, report: Report) -> None:
        """Store a report under its time, and as `latest`."""
        name = f"{report.at.astimezone(UTC).strftime(_STAMP)}-{report.kind}-{report.run[:8]}"
        page, data = as_html(report).encode("utf-8", "replace"), as_json(report).encode("utf-8", "replace")
        try:
            await self._reports.save(f"{name}.json", data, JSON)
            await self._reports.save("latest.json", data, JSON)
            report.stored = await self._reports.save(f"{name}.html", page, HTML)
            await self._reports.save("latest.html", page, HTML)
            log.info("The report of run %s lies at %s", report.run, report.stored)
            for old in await self._reports.names():
                written = _time_of(old)
                if written is not None and report.at - written > self._retention:
                    await self._reports.delete(old)
        except SyncError as error:
            log.error("The report of run %s could not be kept: %s", report.run, error.message)  # noqa: TRY400  # no trace


def _time_of(name: str) -> datetime | None:
    """When a report was written, by its name; None for what is none of ours."""
    try:
        return datetime.strptime(name[:_STAMP_LENGTH], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None
