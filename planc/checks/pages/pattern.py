"""A text that is not a pattern of module names.

A pattern consists of dotted names. `*` matches one name, `**` any number of names, `{a,b}` a
choice, `{0..15}` a range, `!{0,1}` any name but these. `:Linear` at the end keeps modules of
that class, and with `?` at the end the pattern may match nothing.

Wrong:

    let block = model..layers.*

Right:

    let block = model.layers.*

Use `let` names so that one change is made in one place:

Right:

    mesh tp
    let block = model.layers.*
    tensor tp {
        block.self_attn.{q,k,v}_proj  colwise
    }
"""
