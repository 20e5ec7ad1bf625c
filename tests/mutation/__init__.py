"""Neighbours of plans, right and wrong ones: what a checker has to tell apart."""

from tests.mutation.mutants import mutants
from tests.mutation.records import Change, Mutant

__all__ = ["Change", "Mutant", "mutants"]
