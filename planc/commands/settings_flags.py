"""Flags that give a plan its mesh and its options."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace

from planc.ir.expr import ExprValue
from planc.ir.resolved import MAX_DEVICES, Settings


class UsageError(Exception):
    """Flags contradict each other or the plan."""


def add_settings_flags(parser: ArgumentParser) -> None:
    """Add the flags that give the sizes of axes and the values of options."""
    group = parser.add_argument_group("mesh and options")
    group.add_argument("--tp", type=parse_size, metavar="N", help="devices along the axis tp")
    group.add_argument("--dp", type=parse_size, metavar="N", help="devices along the axis dp")
    group.add_argument("--mesh", type=parse_mesh, metavar="AXIS=N,...", action="append", default=[],
                       help="devices along several axes, as dp=2,tp=8")  # fmt: skip
    group.add_argument(
        "--world-size",
        type=parse_size,
        metavar="N",
        help="the total number of devices; determines the size of the one axis without a size",
    )
    group.add_argument(
        "--gpus-per-node",
        type=parse_size,
        metavar="N",
        help="the number of GPUs of a node, to warn about tensor parallelism across nodes",
    )
    group.add_argument("--set", type=parse_option, metavar="OPTION=VALUE", action="append", default=[],
                       dest="options", help="set an option of the plan")  # fmt: skip


def parse_size(text: str) -> int:
    """A number of devices.

    Raises:
        ArgumentTypeError: the text is not one, or it is too large.
    """
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:12]) <= MAX_DEVICES or len(text) > 12:
        raise ArgumentTypeError(f"{text!r} is not a number of devices")
    return int(text)


def parse_mesh(text: str) -> dict[str, int]:
    """Sizes of axes, as `dp=2,tp=8`.

    Raises:
        ArgumentTypeError: the text has another form, or an axis twice.
    """
    sizes: dict[str, int] = {}
    for part in text.split(","):
        name, equal, number = part.strip().partition("=")
        if not equal or not name.isidentifier():
            raise ArgumentTypeError(f"{part!r} is not AXIS=N")
        if name in sizes:
            raise ArgumentTypeError(f"axis '{name}' is given twice")
        sizes[name] = parse_size(number)
    return sizes


def parse_option(text: str) -> tuple[str, ExprValue]:
    """The name and the value of an option, as `NAME=true` or `NAME=8`.

    Raises:
        ArgumentTypeError: the text has another form.
    """
    name, equal, value = text.partition("=")
    if not equal or not name.isidentifier():
        raise ArgumentTypeError(f"{text!r} is not OPTION=VALUE")
    if value.lower() in ("true", "false"):
        return name, value.lower() == "true"
    digits = value.removeprefix("-")
    if digits.isascii() and digits.isdigit() and len(digits) <= 12:
        return name, int(value)
    raise ArgumentTypeError(f"{value!r} is not the value of an option: true, false or a number")


def settings_from_flags(arguments: Namespace) -> Settings:
    """The settings that the flags give.

    Raises:
        UsageFault: an axis or an option is given twice with different values.
    """
    given: dict[str, int] = {}
    for more in (*arguments.mesh, {"tp": arguments.tp}, {"dp": arguments.dp}):
        for name, number in more.items():
            if number is not None and given.setdefault(name, number) != number:
                raise UsageError(f"axis '{name}' is given two sizes: {given[name]} and {number}")
    options: dict[str, ExprValue] = {}
    for name, value in arguments.options:
        if options.setdefault(name, value) is not value and options[name] != value:
            raise UsageError(f"option '{name}' is given two values")
    return Settings(given, arguments.world_size, arguments.gpus_per_node, options)
