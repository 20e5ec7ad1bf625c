"""A plan to extend that lies outside the plan's own folder tree.

A plan is data that may come from somebody else: checking it reads no file but
those below its own folder, links followed, and the plans shipped with planc.

Wrong:

    extends "../../etc/passwd"

Right:

    extends llama
"""
