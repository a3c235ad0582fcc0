"""The triggers: each parses, makes one call, and maps the outcome."""

import _strptime  # type: ignore[import-not-found]  # the standard library's own, without a stub
import gc

# azure-functions reads every message's timestamps by trying up to nine formats in turn. The standard library keeps
# five of them compiled, so that each timestamp would compile them all anew: a tenth of a batch's CPU time.
_strptime._CACHE_MAX_SIZE = max(getattr(_strptime, "_CACHE_MAX_SIZE", 0), 64)  # noqa: SLF001  # it has no public name

# A batch makes some hundred thousand short-lived objects, nearly all without cycles. With the default threshold the
# collector walks the living ones over and over among them: a tenth of a batch's CPU time.
gc.set_threshold(50_000, 20, 50)
