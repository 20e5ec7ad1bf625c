"""A proved plan as instructions for each module of one model on one mesh."""

from __future__ import annotations

from planc.bind.binding import Binding
from planc.ir.lowered import Lowered
from planc.lower.call_inputs import call_inputs, call_results
from planc.lower.lowering_error import LoweringError
from planc.proof.differentiable_inputs import prove_with_input_gradients
from planc.proof.prove import prove
from planc.proof.result import Proof
from planc.reference import load_reference


def lower_binding(binding: Binding, proof: Proof) -> Lowered:
    """The instructions of a proved plan. A block whose axes all have one rank adds none.

    Raises:
        LoweringError: no instructions do what the plan says.
    """
    bound, proved, without_grad = prove_with_input_gradients(binding, proof)
    results = call_results(binding.graph, proof)
    try:
        return _lower(
            bound, proved, Lowered(inputs=call_inputs(binding.graph, proof, without_grad), results=results)
        )
    except LoweringError:
        if bound is binding:
            raise
    # One instruction may serve all calls of a module only if the inputs of the model need no gradient.
    infos = binding.graph.inputs.values()
    without_grad = frozenset(number for number, info in enumerate(infos) if not info.grad)
    return _lower(
        binding, proof, Lowered(inputs=call_inputs(binding.graph, proof, without_grad), results=results)
    )


def _lower(binding: Binding, proof: Proof, lowered: Lowered) -> Lowered:
    # Blocks that wrap modules come first: they bound what a tensor axis can overlap.
    for number, block in sorted(enumerate(binding.resolved.blocks), key=lambda each: each[1].splits_tensors):
        if block.row.lowering is None:
            raise LoweringError(f"planc cannot apply a '{block.kind}' block yet")
        lowered = load_reference(block.row.lowering)(binding, proof, number, lowered)
    return lowered


def lower_unproved(binding: Binding, proof: Proof | None) -> Lowered:
    """The instructions of a plan that may be wrong: what its text says.

    Raises:
        LoweringError: no instructions do that.
    """
    return lower_binding(binding, prove(binding) if proof is None else proof)
