"""planc in Lightning: `Trainer(strategy=ModelParallelStrategy(plan="llama.plan"))`.

Importing this also registers the strategy: `Trainer(strategy="plan")` takes the plan that the
LightningModule names or that lies next to it. `planc.lightning.fabric` has the same for Fabric.
"""

from lightning.pytorch.strategies import StrategyRegistry

from planc.lightning.all_ranks import PlanAbort
from planc.lightning.grad_norm_logging import grad_norm
from planc.lightning.trainer import ModelParallelStrategy

__all__ = ["ModelParallelStrategy", "PlanAbort", "grad_norm"]

StrategyRegistry.register(
    "plan", ModelParallelStrategy, "Splits the model as the plan next to it says.", override=True, plan="auto"
)
