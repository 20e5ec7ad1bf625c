"""What all tests share."""

from __future__ import annotations

import os
import tempfile

# The grammar's tables: one folder for the run, so that no test depends on the user's cache.
os.environ.setdefault("PLANC_CACHE_DIR", tempfile.mkdtemp(prefix="planc-cache-"))
os.environ.pop("FORCE_COLOR", None)
os.environ["NO_COLOR"] = "1"
