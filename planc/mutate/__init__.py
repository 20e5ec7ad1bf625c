"""Neighbours of plans, right and wrong ones: what a checker has to tell apart."""

from planc.mutate.mutants import mutants
from planc.mutate.records import Change, Mutant

__all__ = ["Change", "Mutant", "mutants"]
