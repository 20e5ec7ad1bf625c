"""`planc verify PLAN`"""

from __future__ import annotations

import math
import os
import sys
import warnings
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import TYPE_CHECKING, Any

from planc.cli import EXIT_UNPROVED, EXIT_USAGE, print_usage_error
from planc.commands.model_flags import add_input_flag
from planc.commands.settings_flags import UsageError, add_settings_flags, settings_from_flags
from planc.ir.diagnostic import ModelFault
from planc.ir.document import Document
from planc.ir.resolved import Settings
from planc.report.text import print_diagnostics
from planc.resolve import resolve
from planc.resolve.options import option_error
from planc.syntax.read_file import PlanFileError, read_path

if TYPE_CHECKING:
    from planc.ir.verify_result import VerifyResult

MAX_RANKS = 16
"""Each rank is a process on this machine."""
DEFAULT_AXIS_SIZE = 2
"""The size of an axis for which neither the plan nor the user gives one."""
EXIT_STATUS = {"right": 0, "wrong": 1, "unjudged": EXIT_UNPROVED}


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "plan", metavar="PLAN", help="a .plan, .json or .yaml file, or the name of a shipped plan"
    )
    add_settings_flags(parser)
    group = parser.add_argument_group("model and runs")
    group.add_argument(
        "--model", metavar="MODEL",
        help="hf:CLASS, hf:CONFIG.json or FILE.py:FACTORY; a graph stands for the model that it was captured "
        "from; by default the model that the plan names",
    )  # fmt: skip
    add_input_flag(parser)
    group.add_argument("--full", action="store_true", help="run the model in its full size")
    group.add_argument(
        "--dropout", action="store_true", help="keep dropout on, and compare means over many samples"
    )
    group.add_argument(
        "--steps", type=_parse_count, default=3, metavar="N", help="optimizer steps (default: 3)"
    )
    group.add_argument(
        "--seed", type=_parse_count, default=0, metavar="N", help="the seed of weights and data (default: 0)"
    )
    group.add_argument(
        "--timeout",
        type=_parse_count,
        default=120,
        metavar="N",
        help="the time limit of a run in seconds (default: 120)",
    )
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="the format of the report (default: text)"
    )
    parser.add_argument("-a", "--all", action="store_true", help="show every tensor")
    parser.add_argument("-q", "--quiet", action="store_true", help="report nothing if the plan is right")


def _parse_count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ArgumentTypeError(f"{text!r} is not a number")
    return int(text)


def run(arguments: Namespace) -> int:
    try:
        given = settings_from_flags(arguments)
        document = read_path(arguments.plan)
    except (UsageError, PlanFileError) as error:
        return print_usage_error(str(error))
    if document.diagnostics:
        print_diagnostics(document.diagnostics)
        return 1
    if reason := option_error([resolve(document, Settings(options=given.options)).documents], given.options):
        return print_usage_error(reason)
    given, notes = _with_axis_sizes(document, given)
    ranks = math.prod(given.axis_sizes.values())
    if ranks > MAX_RANKS:
        return print_usage_error(
            f"the mesh has {ranks} ranks, and verify starts at most {MAX_RANKS} processes: use smaller axes"
        )
    if not hasattr(os, "fork"):
        return print_usage_error("verify needs fork, which this system does not have")
    # A process that has initialized CUDA must not fork, so all ranks run on the CPU.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    try:
        from planc.torch.verify.verify_plan import prepare_to_fork
    except ImportError as missing:
        return print_usage_error(f"verify needs torch: {missing}")
    prepare_to_fork()
    try:
        result, more = _run_verify(document, given, arguments)
    except ModelFault as fault:
        print_diagnostics([fault.diagnostic])
        return EXIT_USAGE
    _print_report(result, [*notes, *more], arguments)
    return EXIT_USAGE if _is_other_model(result) else EXIT_STATUS[result.verdict]


def _is_other_model(report: VerifyResult) -> bool:
    """Whether planc refused the model because the plan is for another one."""
    return any(line.startswith("F600 ") for line in report.proof_findings)


def _with_axis_sizes(document: Document, given: Settings) -> tuple[Settings, list[str]]:
    """The settings with a size for each axis of the plan."""
    resolved = resolve(document, given)
    sizes = {axis.name: axis.size for axis in resolved.axes}
    notes = [
        f"axis {name}: no size is given, so verify uses {DEFAULT_AXIS_SIZE}"
        for name, size in sizes.items()
        if size is None
    ]
    chosen = {**given.axis_sizes, **{name: size or DEFAULT_AXIS_SIZE for name, size in sizes.items()}}
    return Settings(chosen, given.world_size, given.gpus_per_node, given.options), notes


def _run_verify(document: Document, given: Settings, arguments: Namespace) -> tuple[VerifyResult, list[str]]:
    """The result, and notes on how the model was changed.

    Raises:
        ModelFault: planc cannot find or build the model.
    """
    from planc.compile import check_document
    from planc.graph.model_source import graph_for_plan, reference_for_plan
    from planc.report.verify_report import progress_bar
    from planc.torch.capture.from_reference import capture_reference
    from planc.torch.verify.choose_model import choose_model
    from planc.torch.verify.dropout import verify_dropout
    from planc.torch.verify.lowering import VerifyPlan, lower_for_verify
    from planc.torch.verify.model_under_test import build_model_under_test
    from planc.torch.verify.shrink_model import captured_inputs, resolve_reference
    from planc.torch.verify.verify_plan import report_unapplied, verify_plan

    with progress_bar() as show_progress, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        named = reference_for_plan(document, arguments.model)
        reference, inputs = resolve_reference(named), tuple(arguments.inputs) or captured_inputs(named)
        notes: list[str] = []
        if arguments.full:
            graph = capture_reference(reference, inputs)
        else:
            chosen = choose_model(
                document,
                given,
                reference,
                lambda: graph_for_plan(
                    document, reference if arguments.inputs else arguments.model, inputs=arguments.inputs
                ),
                inputs,
            )
            reference, graph, notes = chosen.reference, chosen.graph, list(chosen.notes)
            if chosen.unlike is not None:
                why = f"planc check calls the plan {chosen.unlike.verdict} on the full model, and not on a smaller one: --full runs the full model"
                plan = VerifyPlan(chosen.unlike, None, (), (why,))
                return report_unapplied(plan, reference, arguments.seed), notes
        plan = lower_for_verify(check_document(document, given, graph))
        notes += [
            f"{each.summary}; what depends on it may differ from the unsplit model"
            for each in plan.result.accepted
        ]
        options: dict[str, Any] = {
            "seed": arguments.seed, "inputs": inputs, "timeout": arguments.timeout, "progress": show_progress,
        }  # fmt: skip
        if arguments.dropout:
            return verify_dropout(plan, reference, **options), notes
        subject = build_model_under_test(reference, arguments.seed, inputs=inputs)
        return verify_plan(plan, reference, subject=subject, steps=arguments.steps, **options), notes


def _print_report(report: VerifyResult, notes: list[str], arguments: Namespace) -> None:
    from planc.report.verify_report import print_verify_report, verify_report_to_json

    if arguments.format == "json":
        sys.stdout.write(verify_report_to_json(report, notes))
    elif not (arguments.quiet and report.verdict == "right"):
        print_verify_report(report, notes, show_all=arguments.all)
