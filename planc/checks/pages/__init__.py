"""Pages of the laws that reading, resolving, capturing or proving finds violated: a docstring each."""
