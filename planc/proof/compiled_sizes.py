"""Global sizes of parameters that code in a compiled region reads: it has the rank's."""

from __future__ import annotations

from collections.abc import Iterator

from planc.bind.binding import Binding
from planc.ir.blocks import Compile
from planc.proof.result import AxisProof, join_module_path
from planc.proof.size_views import SizeViews


def compiled_size_reads(binding: Binding, number: int, proof: AxisProof) -> Iterator[str]:
    """Why a compiled region cannot give its code the sizes that the proof assumes, in words.

    A compiled region has the local tensors of all its parameters from its beginning to its end.

    Args:
        number: the number of the block that splits tensors over the axis of the proof.
    """
    blocks = [each for each, _ in binding.resolved.blocks_of(Compile)]
    if not blocks:
        return
    _, read = SizeViews(binding, number, proof.local_sizes).params_of_descendants()
    if not any(read.values()):
        return
    for region, bound in binding.root.named_modules():
        if not any(binding.entry_for(bound, block) for block in blocks):
            continue
        prefix = f"{region}." if region else ""
        for module, parameters in read.items():
            for parameter in parameters if f"{module}.".startswith(prefix) else ():
                full = join_module_path(module, parameter)
                if full.startswith(prefix):
                    yield (
                        f"{module or 'the model'} reads the global size of '{full}', and is compiled in "
                        f"'{region}', which has the rank's: compile the modules in it one by one"
                    )
