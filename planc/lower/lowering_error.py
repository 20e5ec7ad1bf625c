"""The error of a proved plan that planc cannot apply."""

from __future__ import annotations


class LoweringError(Exception):
    """No instructions do what a plan says; the message says why."""
