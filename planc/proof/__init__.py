"""The layout proof: what every value and gradient of a model is on every rank.

types        what a value can be on one axis
operation    one operation with its operands, as a rule sees it
factors      the law that most operations share
ops/         a rule a kind of operation
numbers      numbers that the model's code read, whole and on a rank
boundary     changes of layout at modules, and their communication
interpret    a model, from its inputs to what leaves it
"""
