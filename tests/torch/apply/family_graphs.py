"""The graphs of the small models, captured once in a run of tests."""

from __future__ import annotations

from tests.rank_pool import call_in_fork
from tests.shared_files import once_per_run


def family_graph(name: str) -> str:
    """The graph file of a family, with the inputs of `tests/torch/apply/ranks/models.py`."""
    folder = once_per_run(
        f"family-{name}",
        lambda folder: call_in_fork(
            "tests.torch.apply.family_graphs:write_family_graph",
            name=name,
            path=str(folder / "model.graph.json.gz"),
        ),
    )
    return str(folder / "model.graph.json.gz")


def write_family_graph(name: str, path: str) -> None:
    """Capture the model of a family into a graph file."""
    from planc import capture
    from planc.graph.graph_writer import write_graph_file
    from tests.torch.apply.ranks.models import model_reference

    reference, inputs = model_reference(name)
    write_graph_file(capture(reference, inputs=inputs), path)
