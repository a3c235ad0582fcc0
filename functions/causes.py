"""Why an invocation failed, in our own log: the host's line about it does not reach Application Insights.

With OpenTelemetry the worker exports its log itself, and the host leaves its own lines of category `Function.*` out:
https://github.com/Azure/azure-functions-host/blob/dev/src/WebJobs.Script/Diagnostics/OpenTelemetry/OpenTelemetryConfigurationExtensions.cs
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import SyncError

log = logging.getLogger(__name__)


@contextmanager
def told(function: str) -> Iterator[None]:
    """Log what makes the function `function` fail, and let it fail."""
    try:
        yield
    except SyncError as error:
        log.error("The function %s failed: %s: %s", function, error.reason, error.message)  # noqa: TRY400  # no trace
        raise
    except Exception:
        log.exception("The function %s failed by a fault of ours", function)
        raise
