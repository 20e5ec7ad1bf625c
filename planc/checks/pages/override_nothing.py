"""An `override` with nothing to override.

`override` replaces what an extended plan declares, or an earlier rule of the
block. Where there is none, the word hides that the rule it was meant for has
changed its name. Without a model this sees a rule that is the first of its block; whether
a later one meets an earlier rule depends on the modules.

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
