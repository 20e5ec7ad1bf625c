"""Random changes of the shipped plans, given to planc and to the judge. Run by hand:

    python -m tests.judge.random_edits [SECONDS [SEED [PLAN ...]]]

What planc proves and the numbers refute is a bug of the highest order; it is printed at once.
Where planc refuses what computes the right numbers it is printed too, marked `strict`; but not
where the plan says of what arrives what is not so (L701).
"""

from __future__ import annotations

import random
import re
import sys
import time
from collections import Counter
from typing import Any

from planc.ir.graph import ModelGraph
from tests.judge import plans, toys
from tests.judge.families import FAMILIES, Family
from tests.judge.verdicts import judge
from tests.rank_pool import ROOT
from tests.shared_files import captured_graph

STYLES = ["colwise", "rowwise", "sequence", "replicate", "packed_colwise(2)", "packed_colwise(3)"]
LAYOUTS = ["replicate", "shard(0)", "shard(1)", "shard(2)", "shard(-1)", "partial"]
_LAYOUT = re.compile(r"(?<= )(?:replicate|partial|shard\(-?\d\))(?=[ ,)]|$)")
_STYLE = re.compile(r"(?<= )(?:colwise|rowwise|sequence|replicate|packed_colwise\([^)]*\))(?= |$)")
HYGIENE = ("F603", "F609", "F610", "F617")
JUDGED_SHARE = 0.15
"""Of the plans that planc refuses, the share that is given to the judge."""


class LineEditor:
    """Changes the lines of a plan at random."""

    def __init__(self, chance: random.Random, graph: ModelGraph) -> None:
        self.rng = chance
        self.names = [re.sub(r"\.\d+(?=\.|$)", ".*", name) for name in graph.modules_by_name]

    def edit(self, lines: list[str]) -> list[str]:
        lines = list(lines)
        for _ in range(self.rng.choice([1, 1, 1, 2, 2, 3])):
            if lines:
                self._change(lines)
        return lines

    def _change(self, lines: list[str]) -> None:
        chance, at = self.rng, self.rng.randrange(len(lines))
        line = lines[at]
        kind = chance.randrange(10)
        if kind == 0:
            del lines[at]
        elif kind == 1:
            lines[at] = _STYLE.sub(lambda _: chance.choice(STYLES), line, count=1)
        elif kind in (2, 3):
            lines[at] = self._one(_LAYOUT, line, chance.choice(LAYOUTS))
        elif kind == 4:
            lines[at] = re.sub(r" -> \S+$", "", line)
            if lines[at] == line and re.search(r" (colwise|rowwise|sequence|packed\S+)$", line):
                lines[at] = f"{line} -> {chance.choice(LAYOUTS)}"
        elif kind == 5:
            lines[at] = self._one(
                re.compile(r" (?:inputs|outputs|params|attributes)\([^a-z]*[^()]*(?:\([^()]*\)[^()]*)*\)"),
                line,
                "",
            )
        elif kind == 6:
            lines[at] = self._one(
                re.compile(r"\*(?=\.)"), line, chance.choice(["{0}", "!{0}", "{1}"]), count=1
            )
        elif kind == 7:
            lines[at] = self._one(re.compile(r"\b\w+,(?=[\w,]+\})|,\w+(?=\})"), line, "")
        elif kind == 8:
            name, style = (
                chance.choice(self.names),
                chance.choice([*STYLES, self._port("in"), self._port("out")]),
            )
            lines.append(f"{name or 'root'} {style}")
        else:
            lines[at] = self._one(
                re.compile(r"(?<=: )(?:shard\(\d(?:, \d)?\)|\w+(?: // tp)?)(?=[,)])"),
                line,
                chance.choice(["shard(0)", "shard(1)", "shard(2)", "shard(1, 2)", "4", "8"]),
            )

    def _one(self, what: re.Pattern[str], line: str, new: str, count: int = 0) -> str:
        found = list(what.finditer(line))
        if not found:
            return line
        one = found[0] if count else self.rng.choice(found)
        return line[: one.start()] + new + line[one.end() :]

    def _port(self, side: str) -> str:
        before, after = self.rng.choice(LAYOUTS), self.rng.choice(LAYOUTS[:5])
        return f"{side}puts({self.rng.choice(['0', '0', '0', 'hidden_states'])}: {before} -> {after})"


class RandomHunt:
    """One run."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.seen: set[str] = set()

    def family(self, family: Family, seconds: float) -> None:
        graph, end = captured_graph(family.reference), time.monotonic() + seconds
        mutator = LineEditor(self.rng, graph)
        bases = [self._lines(family, graph, {"sequence_parallel": split}) for split in (True, False)]
        while time.monotonic() < end:
            # Half of the changes are of plans that are changed already, and right.
            base = self.rng.choice(bases[:2] if self.rng.random() < 0.5 else bases[-40:])
            lines = mutator.edit(base)
            text = plans.plan_text(lines)
            if text not in self.seen:
                self.seen.add(text)
                if self.both_call_right(family, text, graph, bases[0]):
                    bases.append(lines)

    def _lines(self, family: Family, graph: ModelGraph, options: dict[str, bool]) -> list[str]:
        if family.plan in toys.TOYS:
            return list(toys.TOYS[family.plan].LINES)
        return plans.flat_rules(str(ROOT / "plans" / f"{family.plan}.plan"), graph.facts, options)

    def both_call_right(self, family: Family, text: str, graph: ModelGraph, base: list[str]) -> bool:
        """Whether both say that a plan is right."""
        result = plans.check_text(text, graph)
        self.counts[result.verdict] += 1
        codes = sorted(
            {fault.law.code for fault in result.diagnostics if fault.is_error or fault.law.code == "L713"}
        )
        if any(code[0] in "SNRXE" or code in HYGIENE for code in codes):
            return False  # no plan that could be applied, or one with a rule that says nothing
        proved = result.verdict == "proved"
        if not proved and self.rng.random() > JUDGED_SHARE:
            return False
        case: dict[str, Any] = plans.rules_as_data(result.resolved)
        if any(
            rule["style"] == "replicate" and rule["output"] and not rule["input"] for rule in case["rules"]
        ):
            return False  # `replicate` takes what comes, and the judge does not know what that is
        policies = ["found", "grouped"]
        if proved:
            case["claimed"], policies = plans.backward_claims(result), ["claimed"]
        wrong = [judge(family.model, family.settings, case, policy) for policy in policies]
        self.counts[f"{result.verdict}, {'wrong' if all(wrong) else 'right'}"] += 1
        if proved == (None in wrong) or (not proved and codes[0] == "L701"):
            return proved
        word = "UNSOUND" if proved else f"strict {codes}"
        lines = [line.strip() for line in text.splitlines()[2:-1]]
        print(f"{word}: {family.plan}: {wrong[0]}")
        for sign, own, other in (("-", base, lines), ("+", lines, base)):
            print("".join(f"    {sign} {line}\n" for line in own if line not in other), end="")
        sys.stdout.flush()
        return False


def main() -> None:
    seconds, seed = (float(sys.argv[1]) if len(sys.argv) > 1 else 60.0), int((*sys.argv, "", "0")[2] or 0)
    names = sys.argv[3:] or [*FAMILIES, *toys.TOYS]
    hunt = RandomHunt(seed)
    for name in names:
        hunt.family(FAMILIES.get(name) or Family(name, f"toy:{name}", {}), seconds / len(names))
    print(dict(hunt.counts))


if __name__ == "__main__":
    main()
