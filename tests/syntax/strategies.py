"""Random valid plans, built from the records of the schema.

They are not derived from the grammar: a plan that the grammar cannot say is found by the
round trip through text, not left out beforehand. Left out are only values that share
their text with another one, as `-(5)` and `-5`, and words that a place reserves.
"""

from __future__ import annotations

from functools import cache
from string import ascii_letters, digits

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from planc.ir.blocks import (
    Attribute,
    Block,
    Compile,
    CompileBlock,
    FsdpBlock,
    Loss,
    ParamLayout,
    Part,
    Port,
    Recompute,
    RecomputeBlock,
    Rule,
    Setting,
    TensorBlock,
    Unit,
)
from planc.ir.expr import Binary, Const, Expr, Name, Unary
from planc.ir.layout import PARTIAL, REPLICATE, Layout, LayoutRef, Shard
from planc.ir.pattern import Choice, Pattern, Range, Segment
from planc.ir.plan import Accept, Axis, LayoutLet, Let, Mesh, Option, PatternLet, Plan, Require
from planc.paths import shipped_path, shipped_plans
from planc.syntax.blocks.tensor_block import RULE_CLAUSES
from planc.syntax.read_file import read_bytes

BOOLEAN = ("and", "or")
ORDER = ("<", "<=", ">", ">=")
EQUALITY = ("==", "!=")
ARITHMETIC = ("+", "-", "*", "//", "%")

_LOGIC = {"not", "and", "or", "true", "false", "when", "else"}
_LAYOUTS = {"replicate", "partial", "shard", *RULE_CLAUSES}
_ENTRIES = {"loss", "remove", "override"}
# Words of the language are names too, wherever nothing reserves them.
_WORDS = ("tp", "dp", "stream", "block", "q", "plan", "mesh", "tensor", "replicate", "loss", "root", "x1")


def names(*reserved: str) -> st.SearchStrategy[str]:
    """Identifiers, but none of the reserved ones."""
    free = st.builds(
        str.__add__,
        st.sampled_from(ascii_letters + "_"),
        st.text(ascii_letters + digits + "_", max_size=5),
    )
    return (st.sampled_from(_WORDS) | free).filter(lambda name: name not in {*_LOGIC, *reserved})


def texts() -> st.SearchStrategy[str]:
    """What may stand in quotes: anything that a terminal shows."""
    some = st.text(st.sampled_from(' "\\#{}()->:,\t'.replace("\t", "é") + "abc日"), max_size=12)
    return some | st.text(max_size=12).map(_printable)


def _printable(text: str) -> str:
    return "".join(c for c in text if c.isprintable())


def any_texts() -> st.SearchStrategy[str]:
    """What the data form may hold besides: controls, anything but line ends and half characters."""
    return st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r\n"), max_size=12)


# ---- expressions ---------------------------------------------------------------

integers = st.integers(0, 9) | st.integers(-(10**11), 10**12 - 1)
constants: st.SearchStrategy[Const] = st.builds(Const, st.booleans() | integers)


def _negatable(operand: Expr) -> bool:
    """`-5` is a constant, not a negation: the negation of a plain number is written so."""
    return not (isinstance(operand, Const) and (isinstance(operand.value, bool) or operand.value >= 0))


def _larger(smaller: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    operators = st.sampled_from(BOOLEAN + ORDER + EQUALITY + ARITHMETIC)
    return (
        st.builds(Binary, operators, smaller, smaller)
        | st.builds(Unary, st.just("not"), smaller)
        | st.builds(Unary, st.just("-"), smaller.filter(_negatable))
    )


def expressions(leaves: int = 12) -> st.SearchStrategy[Expr]:
    """Expressions with every operator at every place, whether their types fit or not."""
    return st.recursive(constants | st.builds(Name, names()), _larger, max_leaves=leaves)


def typed(numbers: tuple[str, ...], switches: tuple[str, ...], depth: int = 4) -> st.SearchStrategy[Expr]:
    """Boolean expressions whose types fit, over names of numbers and of switches."""
    integer: st.SearchStrategy[Expr] = st.builds(Const, st.integers(-4, 9))
    integer |= st.sampled_from([Name(n) for n in numbers])
    boolean: st.SearchStrategy[Expr] = st.builds(Const, st.booleans())
    boolean |= st.sampled_from([Name(n) for n in switches])
    for _ in range(depth):
        boolean = st.one_of(
            boolean,
            st.builds(Unary, st.just("not"), boolean),
            st.builds(Binary, st.sampled_from(BOOLEAN + EQUALITY), boolean, boolean),
            st.builds(Binary, st.sampled_from(ORDER + EQUALITY), integer, integer),
        )
        integer = st.one_of(
            integer,
            st.builds(Unary, st.just("-"), integer.filter(_negatable)),
            st.builds(Binary, st.sampled_from(ARITHMETIC), integer, integer),
        )
    return boolean


whens = st.none() | expressions(4)

# ---- patterns and layouts --------------------------------------------------------

_plain = st.text(ascii_letters + digits + "_-", min_size=1, max_size=5)
_ranges = st.builds(lambda first, more: Range(first, first + more), st.integers(0, 99), st.integers(0, 3))
_items = st.lists(_plain | _ranges, min_size=1, max_size=3).map(tuple)
_choices = st.builds(Choice, _items)


def _mixed(pieces: list[str | Choice]) -> bool:
    """Two texts in a row are one text, two stars another pattern."""
    return not any(_is_run(a) and _is_run(b) for a, b in zip(pieces, pieces[1:])) and not any(
        a == b == "*" for a, b in zip(pieces, pieces[1:])
    )


def _is_run(piece: str | Choice) -> bool:
    return isinstance(piece, str) and piece != "*"


segments: st.SearchStrategy[Segment] = st.one_of(
    _plain.map(lambda name: (name,)),
    st.lists(_plain | st.just("*") | _choices, min_size=1, max_size=3).filter(_mixed).map(tuple),
    st.just(("**",)),
    _items.map(lambda items: (Choice(items, negated=True),)),
)


def patterns(*reserved: str) -> st.SearchStrategy[Pattern]:
    """Patterns; one that is a single reserved word is none."""
    built = st.builds(
        Pattern,
        st.lists(segments, min_size=1, max_size=4).map(tuple),
        st.none() | names(),
        st.booleans(),
    )
    root = st.just(Pattern((("root",),)))
    return (built | root).filter(lambda pattern: str(pattern) not in reserved)


entry_patterns = patterns(*_ENTRIES)
layouts: st.SearchStrategy[Layout] = st.one_of(
    st.sampled_from([REPLICATE, PARTIAL]),
    st.builds(Shard, st.integers(-70, 70)),
    st.builds(LayoutRef, names(*_LAYOUTS)),
)
_settled_layouts = layouts.filter(lambda layout: not isinstance(layout, LayoutRef))

# ---- statements ------------------------------------------------------------------

axes = st.builds(Axis, names(), st.none() | st.just("auto") | st.integers(0, 4096))
meshes = st.builds(Mesh, st.lists(axes, min_size=1, max_size=3).map(tuple), st.booleans())
options = st.builds(Option, names(), st.booleans() | integers, st.booleans())
lets: st.SearchStrategy[Let] = st.one_of(
    st.builds(PatternLet, names(), patterns("replicate", "partial"), st.booleans()),
    # A name alone reads as a pattern; beside a condition it is a layout.
    st.builds(LayoutLet, names(), _settled_layouts, override=st.booleans()),
    st.builds(LayoutLet, names(), layouts, expressions(4), layouts, st.booleans()),
)


def requires(text: st.SearchStrategy[str]) -> st.SearchStrategy[Require]:
    return st.builds(Require, expressions(), st.none() | text)


def accepts(text: st.SearchStrategy[str]) -> st.SearchStrategy[Accept]:
    return st.builds(Accept, names(), patterns(), text)


# ---- blocks ----------------------------------------------------------------------


def several(entries: st.SearchStrategy, least: int = 0, most: int = 3) -> st.SearchStrategy:
    """A field that holds a tuple."""
    return st.lists(entries, min_size=least, max_size=most).map(tuple)


_ports = st.builds(Port, st.integers(0, 99) | names(), layouts, layouts)
_facets = {
    "inputs": several(_ports, most=2),
    "outputs": several(_ports, most=2),
    "params": several(st.builds(ParamLayout, names(), layouts), most=2),
    "attributes": several(st.builds(Attribute, names(), expressions(4)), most=2),
}
_parts = several(st.builds(Part, expressions(3), st.none() | names()))
_styled = st.builds(
    Rule, entry_patterns, names(*RULE_CLAUSES), _parts, st.none() | layouts, st.none() | layouts,
    when=whens, override=st.booleans(), **_facets,
)  # fmt: skip
_bare = st.builds(Rule, entry_patterns, when=whens, override=st.booleans(), **_facets).filter(
    lambda rule: any(getattr(rule, facet) for facet in RULE_CLAUSES)
)
rules = _styled | _bare
losses = st.builds(Loss, names(), whens, st.booleans())
_removes = several(patterns(), most=2)
_units = st.builds(
    Unit,
    several(entry_patterns, least=1),
    st.none() | st.just(False) | st.integers(0, 99),
    whens,
    st.booleans(),
)
_dashed = st.sampled_from(("max-autotune", "a-1-b", "not-a"))
_settings = st.builds(
    Setting, names(*_ENTRIES), names() | _dashed | st.booleans() | st.integers(0, 99), st.booleans()
)
_regions = st.builds(
    lambda pattern, mode, when, override: Recompute(pattern, *mode, when, override),
    entry_patterns,
    st.tuples(st.none(), st.just(())) | st.tuples(names(), several(names())),
    whens,
    st.booleans(),
)
_targets = st.builds(Compile, entry_patterns, whens, st.booleans())

blocks: st.SearchStrategy[Block] = st.one_of(
    st.builds(TensorBlock, names(), several(rules, most=4), st.none() | losses, _removes),
    st.builds(FsdpBlock, names(), st.none() | names(), several(_settings), several(_units), _removes),
    st.builds(RecomputeBlock, several(_regions), _removes),
    st.builds(CompileBlock, several(_settings), several(_targets), _removes),
)


def plans(text: st.SearchStrategy[str] | None = None) -> st.SearchStrategy[Plan]:
    """Plans of every kind of statement; `text` gives what stands in quotes."""
    text = texts() if text is None else text
    return st.builds(
        Plan,
        name=st.none() | names(),
        extends=st.none() | names() | text,
        model=st.none() | text,
        mesh=st.none() | meshes,
        options=several(options),
        lets=several(lets),
        requires=several(requires(text)),
        accepts=several(accepts(text)),
        blocks=several(blocks),
    )


@cache
def pool() -> tuple[Plan, ...]:
    """The shipped plans, and random valid ones: made once, for loops of many cases."""
    found: list[Plan] = []
    for name in shipped_plans():
        with open(shipped_path("plans", f"{name}.plan"), "rb") as file:
            found += [read_bytes(file.read(), name).plan] * 4

    @settings(max_examples=60, derandomize=True, database=None, deadline=None, phases=[Phase.generate])
    @given(plans())
    def gather(plan: Plan) -> None:
        found.append(plan)

    gather()
    return tuple(found)
