"""A base plan outside the folder tree of the plan.

A plan is data that may come from anybody. To check it, planc reads only files below the plan's
own folder, after following links, and the plans that are shipped with planc.

Wrong:

    extends "../../etc/passwd"

Right:

    extends llama
"""
