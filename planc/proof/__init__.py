"""The layout proof: what each rank has of every value and gradient of a model.

types                   what a rank has of one value, on one axis
rules/                  a row for each operation of torch
param_types             the types of parameters
boundary/               changes of layout at modules, and their collectives
interpreter/            follows the graph: operations, calls, numbers that the code reads
gradient_uses           parameters whose uses give gradients of two kinds
redundant_collectives   plans that communicate more than they need to
model_outputs           the tensors that a model returns, and the logits among them
prove                   every axis, from the model's inputs to its outputs
result                  what the proof found
violations              a record for each cause of a violation
sentences               the English of these records
diagnose                findings as diagnostics

Data flows from types to diagnostics: `prove` gives a `Proof` of records, and only `diagnose` makes text.
"""
