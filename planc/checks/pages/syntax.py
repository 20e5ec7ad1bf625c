"""A line that is not in the language.

A plan is a list of statements, one to a line; the entries of a block stand one to
a line between its braces. A line goes on inside round brackets. The line is left
out and reading goes on with the next, so that every such line is reported at once.

Wrong:

    mesh dp tp

Right:

    mesh dp, tp
"""
