"""What happens to ranks that begin with other weights than the first."""

from __future__ import annotations

from typing import Literal

Sync = Literal["check", "broadcast"]
"""`check`: they and all others stop. `broadcast`: they get the first rank's."""
