"""The triggers: each parses, makes one call, and maps the outcome."""

import gc

from functions import bodies

bodies.bind()

# A batch makes some hundred thousand short-lived objects, nearly all without cycles. With the default thresholds the
# collector walks the living ones over and over among them: docs/performance.md says what that costs.
gc.set_threshold(50_000, 20, 50)
