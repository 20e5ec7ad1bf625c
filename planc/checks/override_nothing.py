"""An `override` with nothing to override.

`override` replaces what an extended plan declares, or an earlier rule of the
block. Where there is none, the word hides that the rule it was meant for has
changed its name. With a model, a rule is also held against the modules that it and
the earlier rules match.

Wrong:

    mesh tp
    override option fast = true
    tensor tp {
        lm_head  colwise  when fast
    }

Right:

    mesh tp
    option fast = true
    tensor tp {
        lm_head  colwise  when fast
    }
"""
