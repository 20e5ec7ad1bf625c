"""A line that is not in the language.

A plan is a list of statements, one on each line; inside the braces of a block each entry has a
line of its own. A line continues inside round brackets. planc skips a faulty line and reads
on, so it reports all of them at once.

Wrong:

    mesh dp tp

Right:

    mesh dp, tp
"""
