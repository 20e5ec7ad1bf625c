"""The canonical form, whole, and the command that writes it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from textwrap import dedent

import pytest

from planc.cli import main
from planc.ir.source import Source
from planc.syntax.formatter import format_document
from planc.syntax.read_file import read_source

CASES = {
    "columns": (
        """\
        mesh dp,tp=8
        tensor tp{
        a colwise
          model.layers.*.q   rowwise->shard( 1 ) when tp>1
        override b inputs(0:shard(1)->replicate,)
        }
        """,
        """\
        mesh dp, tp=8
        tensor tp {
            a                  colwise
            model.layers.*.q   rowwise   -> shard(1)  when tp > 1
            override b         inputs(0: shard(1) -> replicate)
        }
        """,
    ),
    "comments and blank lines": (
        """\


        # first
        mesh tp # of the mesh


        # of the block
        tensor tp { # opens

          # of a

          a colwise # is split
          bbb rowwise # is too


          # last
        } # closes
        # end
        """,
        """\
        # first
        mesh tp  # of the mesh

        # of the block
        tensor tp {  # opens
            # of a

            a     colwise  # is split
            bbb   rowwise  # is too

            # last
        }  # closes
        # end
        """,
    ),
    "runs of statements": (
        """\
        let a = b.c
        let longer = d.*
        let s = shard(-1) when (x) else replicate

        option o = true
        require a%2==0 "why"
        require longer_name >= 3 "why not"
        """,
        """\
        let a      = b.c
        let longer = d.*
        let s      = shard(-1) when x else replicate

        option o = true
        require a % 2 == 0       "why"
        require longer_name >= 3 "why not"
        """,
    ),
    "one line": (
        """\
        recompute
        { a }
        """.replace("recompute\n        {", "recompute {"),
        """\
        recompute { a }
        """,
    ),
    "comments inside brackets stay": (
        """\
        tensor tp {
          a inputs(   # why
            0:   shard(1) -> replicate, # the first
            # and
            x: shard(1) -> replicate )  # done
        }
        """,
        """\
        tensor tp {
            a inputs(  # why
                0: shard(1) -> replicate,  # the first
                # and
                x: shard(1) -> replicate )  # done
        }
        """,
    ),
    "long lines": (
        """\
        tensor tp {
            model.layers.attention inputs(hidden_states: shard(1) -> replicate, position_ids: shard(1) -> replicate) when tp > 1
        }
        """,
        """\
        tensor tp {
            model.layers.attention   inputs(
                hidden_states: shard(1) -> replicate,
                position_ids: shard(1) -> replicate,
            )   when tp > 1
        }
        """,
    ),
    "a long line whose last brackets hold one": (
        """\
        tensor tp {
            attn.qkv_proj packed_colwise(query: 32, key: 8, value: 8) stream -> shard(-1) attributes(heads: heads // tp)
            other colwise -> replicate
        }
        """,
        """\
        tensor tp {
            attn.qkv_proj   packed_colwise(
                query: 32,
                key: 8,
                value: 8,
            )   stream -> shard(-1)  attributes(heads: heads // tp)
            other           colwise   -> replicate
        }
        """,
    ),
    "fsdp": (
        """\
        fsdp dp replicate pod {
        params:bf16,reduce :fp32
        a+b  keep
        c reshard(8)
        root
        }
        """.replace("params:bf16,reduce :", "params: bf16,reduce: "),
        """\
        fsdp dp replicate pod {
            params: bf16, reduce: fp32
            a + b   keep
            c       reshard(8)
            root
        }
        """,
    ),
}


def formatted(text: str) -> str:
    document = read_source(Source("a.plan", text))
    assert document.diagnostics == ()
    return format_document(document)


@pytest.mark.parametrize("name", CASES)
def test_canonical_form(name: str) -> None:
    before, after = map(dedent, CASES[name])
    assert formatted(before) == after
    assert formatted(after) == after
    assert formatted(before.replace("\n", "\r\n")) == after


MESSY = "mesh   tp\n"


def test_a_file_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.plan"
    path.write_text(MESSY)
    os.chmod(path, 0o640)
    assert main(["fmt", str(path)]) == 0
    assert path.read_text() == "mesh tp\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert capsys.readouterr().err == f"{path}: formatted\n"
    assert main(["fmt", str(path)]) == 0
    assert capsys.readouterr().err == ""
    assert [p.name for p in tmp_path.iterdir()] == ["a.plan"]


def test_check_and_diff_write_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.plan"
    path.write_text(MESSY)
    assert main(["fmt", "--check", str(path)]) == 1
    assert "would be formatted" in capsys.readouterr().err
    assert main(["fmt", "--diff", str(path)]) == 1
    assert capsys.readouterr().out == f"--- {path}\n+++ {path}\n@@ -1 +1 @@\n-mesh   tp\n+mesh tp\n"
    assert path.read_text() == MESSY


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.plan").write_text(MESSY)
    (tmp_path / "link.plan").symlink_to("real.plan")
    assert main(["fmt", str(tmp_path / "link.plan")]) == 0
    assert (tmp_path / "link.plan").is_symlink()
    assert (tmp_path / "real.plan").read_text() == "mesh tp\n"


def test_a_byte_order_mark_goes(tmp_path: Path) -> None:
    path = tmp_path / "a.plan"
    path.write_bytes(b"\xef\xbb\xbfmesh tp\n")
    assert main(["fmt", "--check", str(path)]) == 1
    assert main(["fmt", str(path)]) == 0
    assert path.read_bytes() == b"mesh tp\n"


def test_a_plan_with_faults_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.plan"
    path.write_text("mesh tp tp\n")
    assert main(["fmt", str(path)]) == 1
    assert "error[S001]" in capsys.readouterr().err
    assert path.read_text() == "mesh tp tp\n"
