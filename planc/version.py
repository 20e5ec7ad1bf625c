"""The version of planc."""

__version__ = "0.1.0"
