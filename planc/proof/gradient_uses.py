"""Parameters whose uses give gradients of two kinds."""

from __future__ import annotations

from collections.abc import Iterator

from planc.ir.graph import ModelGraph
from planc.ir.resolved import Located
from planc.proof.result import Analysis, Origin, ProgramPoint, Violation, join_module_path
from planc.proof.violations import GradientUsedBothWays


def gradients_used_both_ways(top: Analysis, graph: ModelGraph) -> Iterator[Violation]:
    """Parameters of which one use gives a partial gradient, another one the full gradient.

    The all-reduce that the first use needs would count the gradient of the second once for every rank.
    """
    if not graph.ties and all(_uses_each_param_once(analysis) for analysis in top.distinct_analyses()):
        return
    first_name = {name: tie[0] for tie in graph.ties for name in tie}
    full: dict[str, tuple[str, Located | None]] = {}
    partial: dict[str, tuple[str, Located | None]] = {}
    for path, analysis in top.walk():
        for name, rule in analysis.full_gradients.items():
            param = join_module_path(path, name)
            full.setdefault(first_name.get(param, param), (param, rule))
        for name, (_, rule) in analysis.summed_gradients.items():
            param = join_module_path(path, name)
            partial.setdefault(first_name.get(param, param), (param, rule))
    for name in [name for name in partial if name in full]:
        (module, _, own_name), (other, other_rule) = partial[name][0].rpartition("."), full[name]
        other_module = other.rpartition(".")[0] or "root"
        yield Violation(
            GradientUsedBothWays(other_module),
            ProgramPoint("parameter", own_name),
            partial[name][1],
            origin=Origin(other_module, other_rule),
            module=module,
        )


def _uses_each_param_once(analysis: Analysis) -> bool:
    """Whether a call uses its own parameters alone, and calls each module once."""
    called = [name for name, _ in analysis.calls]
    used = (*analysis.full_gradients, *analysis.summed_gradients)
    own_alone = not any("." in name or "/" in name for name in used)
    return own_alone and len(set(called)) == len(called) and not any("/" in name for name in called)
