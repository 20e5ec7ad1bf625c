"""An `override` without anything to override.

`override` replaces a declaration of a base plan, or an earlier rule of the block. If there is
none, the name of the rule that it was written for has probably changed. Without a model planc
reports this only for the first rule of a block: whether a later rule overrides an earlier one
depends on the modules.

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
