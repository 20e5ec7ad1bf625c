"""What is said of each case of `tests/torch/apply/ranks/rejected_plans.py`: the codes of diagnostics, and parts of the
reasons beside them. Without torch, for those who ask."""

from __future__ import annotations

EXPECTED_REJECTIONS: dict[str, tuple[list[str], list[str]]] = {
    "two patterns match nothing": (["F601", "F601"], []),
    "the layouts do not meet": (["L711"], []),
    "heads that the ranks cannot share": (["X401", "X401"], []),
    "a plan of another model": (["F600"], []),
    "a plan that cannot be read": (["S005", "S001"], []),
    "a graph of another model": ([], ["the parameters of 'model.embed_tokens' are"]),
    "a mesh without an axis": ([], ["no axis 'tp'; it has dp"]),
    "a mesh without an axis whose size the plan says": ([], ["no axis 'dp'; it has tp"]),
    "a mesh with an axis too many": (["M205"], []),
    "a mesh with other axes": (["M205"], ["no axis 'dp'; it has data, model", "no axis 'tp'"]),
    "a mesh without names": ([], ["no names for its axes"]),
    "a mesh of another size": (["M205"], []),
    "a model that is split already": ([], ["split already"]),
    "a model that FSDP has": ([], ["split already"]),
    "an option that the plan does not have": ([], ["no option 'sequence'"]),
}
