"""A base plan that planc cannot find or read.

`extends llama` names a plan that is shipped with planc, `extends "base.plan"` a file. planc
looks for the file in the folder of the plan that extends it.

Wrong:

    extends "bse.plan"

Right:

    extends "base.plan"

File base.plan:

    mesh tp
    tensor tp {
        lm_head  colwise
    }
"""
