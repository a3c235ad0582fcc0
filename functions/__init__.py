"""The triggers: each parses, makes one call, and maps the outcome."""

import _strptime  # type: ignore[import-not-found]  # the standard library's own, without a stub

# azure-functions reads every message's timestamps by trying up to nine formats in turn. The standard library keeps
# five of them compiled, so that each timestamp would compile them all anew: a tenth of a batch's CPU time.
_strptime._CACHE_MAX_SIZE = max(getattr(_strptime, "_CACHE_MAX_SIZE", 0), 64)  # noqa: SLF001  # it has no public name
