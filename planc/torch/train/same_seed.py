"""One seed for all ranks of a model on the meta device."""

from __future__ import annotations

from torch import nn
from torch.distributed.tensor import DTensor

from planc.ir.errors import WeightsError
from planc.torch.train.digest import text_digest
from planc.torch.train.mesh_ranks import MeshRanks


def require_same_seed(model: nn.Module, seed: int | None) -> None:
    """Stop all ranks that share a split model if one of them would initialize it from another seed.

    Args:
        seed: this rank's; None: it loads weights.

    Raises:
        WeightsError: on every rank: the seeds differ.
    """
    meshes = {p.device_mesh for p in model.parameters() if isinstance(p, DTensor)}
    if not meshes:
        return
    ranks = MeshRanks.of_mesh(max(meshes, key=lambda mesh: mesh.size()))
    rows = ranks.gather_ints([text_digest(repr(seed))])
    if all(row == rows[0] for row in rows):
        return
    seeds = dict(zip(ranks.ranks, ranks.gather_objects(seed), strict=True))
    (first_rank, first), *others = seeds.items()
    rank, other = next((rank, other) for rank, other in others if other != first)
    raise WeightsError(
        f"the ranks have different seeds: rank {first_rank} has {first} where rank {rank} has {other}. needed: one seed "
        "on all ranks"
    )
