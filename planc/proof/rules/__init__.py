"""The rules of the proof: a row for each torch function, in the file of its family.

registry         the row of an operation, and `op_rule`, which adds one
catalog          all rows, by name
operation        one call with its operands, as a rule sees it
arguments        arguments of a call: dims, sizes, tensors
einsum_rule      the law that most operations share: dims by labels, as in an einsum
saved_tensors    what autograd saves for the backward pass
"""
