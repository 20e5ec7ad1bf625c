"""A division by zero.

`//` and `%` have no value if the right operand is 0.

Wrong:

    mesh tp
    option groups = 0
    require tp % groups == 0

Right:

    mesh tp
    option groups = 1
    require tp % groups == 0
"""
