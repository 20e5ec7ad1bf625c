"""A JSON or YAML plan that has not the shape of a plan.

The data form is held against the schema that `planc schema` prints. The
diagnostic names the path in the data, as `blocks[0].rules[2].style`, and the place
in the file. Fields that the schema does not have are refused: one of the ways to
lose a rule without noticing is to mistype the field that holds it. YAML anchors
and aliases are refused too, since a few of them can stand for gigabytes.

Wrong (plan.yaml):

    mesh:
      axes: [{name: tp}]
    blocks:
      - {kind: tensor, axis: tp, rulez: []}

Right (plan.yaml):

    mesh:
      axes: [{name: tp}]
    blocks:
      - {kind: tensor, axis: tp, rules: []}
"""
