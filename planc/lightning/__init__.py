"""planc in Lightning: `Trainer(strategy=ModelParallelStrategy(plan="llama.plan"))`.

Importing this also registers the strategy: `Trainer(strategy="plan")` takes the plan that the
LightningModule names, or the `.plan` file next to its source file. `planc.lightning.fabric` has the strategy for
Fabric.
"""

from lightning.pytorch.strategies import StrategyRegistry

from planc.lightning.all_ranks import PlanAbort
from planc.lightning.grad_norm_logging import grad_norm
from planc.lightning.trainer import ModelParallelStrategy

PlanStop = PlanAbort
"""The former name of `PlanAbort`, for code that catches it."""

__all__ = ["ModelParallelStrategy", "PlanAbort", "PlanStop", "grad_norm"]

StrategyRegistry.register(
    "plan",
    ModelParallelStrategy,
    "Splits the model as the plan next to it describes.",
    override=True,
    plan="auto",
)
