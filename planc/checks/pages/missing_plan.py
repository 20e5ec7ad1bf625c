"""A plan to extend that cannot be found or read.

`extends llama` names a plan shipped with planc; `extends "base.plan"` a file,
looked for beside the plan that says so.

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
