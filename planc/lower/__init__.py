"""Proved plan -> what each module is told to do, as data: what applies a plan reads this alone."""
