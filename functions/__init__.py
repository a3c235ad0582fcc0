"""The triggers: each parses, makes one call, and maps the outcome."""

import _strptime  # type: ignore[import-not-found]  # the standard library's own, without a stub
import gc
from typing import Final

TIME_FORMATS: Final = 64
# azure-functions reads every message's timestamps by trying up to nine formats in turn. The standard library keeps
# five of them compiled, so that each timestamp would compile them all anew: more than a tenth of a batch's CPU time.
# `.venv/bin/python -m benchmarks.metadata` measures it.
_strptime._CACHE_MAX_SIZE = max(getattr(_strptime, "_CACHE_MAX_SIZE", 0), TIME_FORMATS)  # noqa: SLF001  # it has no public name

# A batch makes some hundred thousand short-lived objects, nearly all without cycles. With the default thresholds the
# collector walks the living ones over and over among them: docs/performance.md says what that costs.
gc.set_threshold(50_000, 20, 50)
