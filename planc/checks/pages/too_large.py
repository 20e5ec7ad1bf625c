"""A plan beyond the limits of size.

A plan may come from anybody, so planc must finish reading and checking it soon, whatever it
contains. The limits: 16 MiB of text, 10,000 names from the braces of one pattern, 64 dotted
names in it, 200 terms in an expression, 12 digits in a number, 32 plans in a chain of
`extends`, 100 levels in JSON and YAML.

Wrong:

    let every = model.layers.{0..999999999}

Right:

    let every = model.layers.*
"""
