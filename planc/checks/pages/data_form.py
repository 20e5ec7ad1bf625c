"""A JSON or YAML plan that does not match the schema.

`planc schema` prints the schema. The diagnostic names the path in the data, as
`blocks[0].rules[2].style`, and the place in the file. planc refuses fields that the schema
does not have, because a plan with a misspelt field would lose a rule without notice. It also
refuses YAML anchors and aliases, because a few of them can expand to gigabytes.

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
