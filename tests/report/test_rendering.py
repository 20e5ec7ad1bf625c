"""The rendered form of diagnostics, whole, as a user sees it."""

from __future__ import annotations

from textwrap import dedent

import pytest

from planc.compile import check_document
from planc.ir.resolved import Settings
from planc.ir.source import Source
from planc.report.text import Palette, render_diagnostic
from planc.syntax.read_file import read_bytes, read_source


def rendered(text: str, **settings: object) -> str:
    document = read_source(Source("a.plan", dedent(text)))
    return "\n".join(render_diagnostic(d) for d in check_document(document, Settings(**settings)).diagnostics)


def test_did_you_mean() -> None:
    text = """\
        mesh tp
        tensor tp {
            model.lm_head  colwis
        }
    """
    assert rendered(text) == dedent("""\
        error[N101]: there is no style 'colwis'
         --> a.plan:3:20
          |
        3 |     model.lm_head  colwis
          |                    ^^^^^^ no such style
          = needed: colwise, packed_colwise, replicate, rowwise, sequence
          = help: did you mean 'colwise'?
    """)


def test_two_places() -> None:
    text = """\
        mesh tp
        tensor tp {
            lm_head  colwise
            {lm_head,norm}  rowwise
        }
    """
    assert rendered(text) == dedent("""\
        error[R301]: two rules for one module on axis 'tp'
         --> a.plan:4:5
          |
        4 |     {lm_head,norm}  rowwise
          |     ^^^^^^^^^^^^^^ the second
         ::: a.plan:3:5
          |
        3 |     lm_head  colwise
          |     ------- the first
          = at: lm_head
          = help: write 'override' before the one that applies, or narrow a pattern
    """)


def test_a_failed_require_says_the_values_and_why() -> None:
    text = """\
        mesh tp
        require tp <= 8  "a node has 8 devices"
        tensor tp { lm_head colwise }
    """
    assert rendered(text, axis_sizes={"tp": 16}) == dedent("""\
        error[X401]: this plan requires tp <= 8
         --> a.plan:2:9
          |
        2 | require tp <= 8  "a node has 8 devices"
          |         ^^^^^^^ tp = 16
          = why: a node has 8 devices
    """)


def test_five_broken_lines_are_five_diagnostics() -> None:
    text = """\
        mesh tp tp2
        option = 3
        let block model
        tensor tp {
            lm_head colwise ->  -> replicate
            a.b  inputs(0 replicate -> shard(1))
            c.d  colwise
        }
    """
    lines = [line for line in rendered(text).splitlines() if line.startswith(" --> ")]
    assert lines == [f" --> a.plan:{n}" for n in ("1:9", "2:8", "3:11", "5:25", "6:19")]


def test_a_data_plan_says_its_path() -> None:
    yaml = b"mesh:\n  axes: [{name: tp}]\nblocks:\n- kind: tensor\n  axis: tp\n  rules:\n  - {pattern: a, style: colwis}\n"
    result = check_document(read_bytes(yaml, "a.yaml", "yaml"))
    assert [render_diagnostic(d) for d in result.diagnostics] == [
        dedent("""\
        error[N101]: there is no style 'colwis'
         --> a.yaml:7:25
          |
        7 |   - {pattern: a, style: colwis}
          |                         ^^^^^^ no such style
          = at: blocks[0].rules[0].style
          = needed: colwise, packed_colwise, replicate, rowwise, sequence
          = help: did you mean 'colwise'?
    """)
    ]


def test_wide_characters_do_not_move_the_caret() -> None:
    # Two columns each in a terminal; the caret stands under the style.
    text = 'mesh tp\nrequire tp == 1 "層"  ?\n'
    shown = rendered(text).splitlines()
    assert shown[3].index("?") + 1 == shown[4].index("^")


def test_tabs_do_not_move_the_caret() -> None:
    shown = rendered("mesh tp\ntensor tp {\n\tlm_head\tcolwis\n}\n").splitlines()
    assert shown[3].index("colwis") == shown[4].index("^")


def test_what_a_terminal_obeys_is_not_printed() -> None:
    shown = rendered("mesh tp\n\x1b[31mfoo \x07\n# \x9b31m\n")
    assert not any(ord(c) < 32 and c != "\n" for c in shown)
    assert "\x9b" not in shown


def test_a_long_line_is_shown_around_its_caret() -> None:
    line = f"{{{','.join(f'name{i}' for i in range(200))}}}  colwis"
    shown = rendered(f"mesh tp\ntensor tp {{\n{line}\n}}\n").splitlines()
    assert len(shown[3]) < 140
    assert shown[3].index("colwis") == shown[4].index("^")


def test_colours() -> None:
    document = read_source(Source("a.plan", "mesh tp\ntensor tp { a colwis }\n"))
    text = render_diagnostic(check_document(document).diagnostics[0], Palette(enabled=True))
    assert text.startswith("\x1b[1;31merror[N101]\x1b[0m")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends(end: str) -> None:
    text = end.join(["mesh tp", "tensor tp {", "  a colwis", "}", ""])
    assert "a.plan:3:5" in rendered(text)
