"""Changes of the plan that mend a violation. planc shows a change only after it has tried it.

suggest              a change for each law, from the data of a finding
edit_plan            new rules for a plan: their patterns, and the lines where they belong
enclosing_boundary   one boundary around modules that each gather the same value
try_fixes            keeps the changes that mend
"""
