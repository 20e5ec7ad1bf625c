"""The text form of a plan: reading it, writing it, formatting it."""
