"""`planc verify PLAN`"""

from __future__ import annotations

import math
import os
import sys
import warnings
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import TYPE_CHECKING, Any

from planc.cli import UNPROVED, USAGE, usage_error
from planc.commands.settings import UsageFault, add_settings, settings
from planc.ir.diagnostic import ModelFault
from planc.ir.document import Document
from planc.ir.settled import Settings
from planc.read import Unreadable, read_path
from planc.report.text import complain
from planc.settle import settle
from planc.settle.options import options_fault

if TYPE_CHECKING:
    from planc.ir.graph import ModelGraph
    from planc.ir.verified import Verified

MOST = 16
"""Ranks: processes of this machine."""
USUAL = 2
"""The size of an axis that nobody gives one."""
STATUS = {"right": 0, "wrong": 1, "unjudged": UNPROVED}


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "plan", metavar="PLAN", help="a .plan, .json or .yaml file, or the name of a shipped plan"
    )
    add_settings(parser)
    group = parser.add_argument_group("model and runs")
    group.add_argument(
        "--model", metavar="MODEL",
        help="hf:CLASS, hf:CONFIG.json or FILE.py:FACTORY; a graph stands for what it was captured from; by "
        "default the one that the plan names",
    )  # fmt: skip
    group.add_argument("--full", action="store_true", help="run the model as large as it is")
    group.add_argument(
        "--dropout", action="store_true", help="leave dropout on, and compare means of many draws"
    )
    group.add_argument(
        "--steps", type=_count, default=3, metavar="N", help="steps of an optimizer (default: 3)"
    )
    group.add_argument("--seed", type=_count, default=0, metavar="N", help="of weights and data (default: 0)")
    group.add_argument(
        "--timeout", type=_count, default=120, metavar="N", help="seconds that a run may take (default: 120)"
    )
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="how to report (default: text)"
    )
    parser.add_argument("-a", "--all", action="store_true", help="show every tensor")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing of a plan that is right")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ArgumentTypeError(f"{text!r} is no number")
    return int(text)


def run(arguments: Namespace) -> int:
    try:
        given = settings(arguments)
        document = read_path(arguments.plan)
    except (UsageFault, Unreadable) as bad:
        return usage_error(str(bad))
    if document.faults:
        complain(document.faults)
        return 1
    if why := options_fault([settle(document, Settings(options=given.options)).documents], given.options):
        return usage_error(why)
    given, notes = _sized(document, given)
    ranks = math.prod(given.sizes.values())
    if ranks > MOST:
        return usage_error(f"{ranks} ranks: at most {MOST} processes are started; use smaller axes")
    if not hasattr(os, "fork"):
        return usage_error("verify forks processes, which this system cannot")
    # Ranks are forked, which a process that has met a GPU must not do; all of it runs on the CPU.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    try:
        from planc.torch.verify.verify import begin
    except ImportError as missing:
        return usage_error(f"verify needs torch: {missing}")
    begin()
    try:
        found, more = _verified(document, given, arguments)
    except ModelFault as fault:
        complain([fault.diagnostic])
        return USAGE
    _print(found, [*notes, *more], arguments)
    return USAGE if _is_of_another(found) else STATUS[found.verdict]


def _is_of_another(found: Verified) -> bool:
    """Whether the model is none that the plan could be for."""
    return any(line.startswith("F600 ") for line in found.refuted)


def _sized(document: Document, given: Settings) -> tuple[Settings, list[str]]:
    """The settings with a size for each axis of the plan."""
    settled = settle(document, given)
    sizes = {axis.name: axis.size for axis in settled.axes}
    notes = [
        f"axis {name}: no size is given; {USUAL} is taken" for name, size in sizes.items() if size is None
    ]
    chosen = {**given.sizes, **{name: size or USUAL for name, size in sizes.items()}}
    return Settings(chosen, given.world_size, given.gpus_per_node, given.options), notes


def _verified(document: Document, given: Settings, arguments: Namespace) -> tuple[Verified, list[str]]:
    """What was found, and what was done to the model.

    Raises:
        ModelFault: the model cannot be had.
    """
    from planc.graphs.chosen import reference_for
    from planc.report.verified import progress
    from planc.torch.capture import capture
    from planc.torch.verify.chances import verify_chances
    from planc.torch.verify.shrink import resolved
    from planc.torch.verify.subject import build
    from planc.torch.verify.verify import verify

    with progress() as tell, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = resolved(reference_for(document, arguments.model))
        notes: list[str] = []
        graph = None
        if not arguments.full:
            reference, graph, notes = _small(document, reference, given)
        graph = graph or capture(reference)
        what = (document, reference, graph, given)
        how: dict[str, Any] = {"seed": arguments.seed, "timeout": arguments.timeout, "progress": tell}
        if arguments.dropout:
            return verify_chances(*what, **how), notes
        subject = build(reference, arguments.seed)
        return verify(*what, subject=subject, steps=arguments.steps, **how), notes


def _small(document: Document, reference: str, given: Settings) -> tuple[str, ModelGraph, list[str]]:
    """A smaller model, its graph, and what is to be said of it. Where the plan names blocks that a smaller one
    does not have, every block stays.

    Raises:
        ModelFault: the model cannot be had.
    """
    from planc.compile import diagnose
    from planc.torch.capture import capture
    from planc.torch.verify.shrink import shrunk

    sizes = _shared(document, given)
    for keep_depth in (False, True):
        small = shrunk(reference, sizes, keep_depth=keep_depth)
        graph = capture(small.reference)
        if not any(fault.law.name == "no-match" for fault in diagnose(document, given, graph).diagnostics):
            break
    notes = [f"made smaller: {', '.join(small.changes)}"] if small.changes else []
    return small.reference, graph, [*notes, *small.notes]


def _shared(document: Document, given: Settings) -> dict[str, int]:
    """The sizes of the axes whose ranks share dims of the model."""
    blocks = settle(document, given).blocks
    names = {axis.value for block in blocks if block.kind == "tensor" for axis in block.axes}
    return {name: size for name, size in given.sizes.items() if name in names}


def _print(found: Verified, notes: list[str], arguments: Namespace) -> None:
    from planc.report.verified import draw, to_json

    if arguments.format == "json":
        sys.stdout.write(to_json(found, notes))
    elif not (arguments.quiet and found.verdict == "right"):
        draw(found, notes, every=arguments.all)
