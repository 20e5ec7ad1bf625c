"""Large and odd inputs, each of them once: reading, checking, reporting and formatting end, and
no input is answered by a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random

import pytest

from planc.syntax.read_file import read_bytes
from tests.syntax.test_fuzz import check_any_source

LARGE: dict[str, tuple[str, Callable[[], str]]] = {
    "unclosed brackets": ("text", lambda: "(" * 10_000),
    "unclosed brackets of requires": ("text", lambda: "require (tp\n" * 10_000),
    "unclosed brackets of rules": ("text", lambda: "tensor tp {\n" + "a b(c\n" * 10_000),
    "nested brackets": ("text", lambda: f"require {'(' * 100_000}1{')' * 100_000} == 1\n"),
    "nested negations": ("text", lambda: f"require {'-' * 100_000}1 == 1\n"),
    "nested nots": ("text", lambda: f"require {'not ' * 50_000}true\n"),
    "nested layout": ("text", lambda: f"tensor tp {{\na b -> shard({'(' * 50_000}1{')' * 50_000})\n}}\n"),
    "long expression": ("text", lambda: f"require {' + '.join(['1'] * 100_000)} == 1\n"),
    "broken lines": ("text", lambda: "= what\n" * 20_000),
    "broken lines of a block": ("text", lambda: "tensor tp {\n" + "a = what\n" * 20_000 + "}\n"),
    "blocks never closed": ("text", lambda: "tensor tp {\n" * 10_000),
    "stray ends": ("text", lambda: "}\n" * 20_000),
    "one word of 1 MB": ("text", lambda: "a" * 1_000_000),
    "one name of 1 MB": ("text", lambda: f"plan {'a' * 1_000_000}\n"),
    "one pattern of 1 MB": ("text", lambda: f"compile {{ {'a.' * 500_000}a }}\n"),
    "one comment of 1 MB": ("text", lambda: f"# {'a ' * 500_000}\n"),
    "one text of 1 MB": ("text", lambda: f'model "{"a" * 1_000_000}"\n'),
    "one open text of 1 MB": ("text", lambda: f'model "{"a" * 1_000_000}\n'),
    "one number of 1 MB": ("text", lambda: f"option a = {'1' * 1_000_000}\n"),
    "many arguments": ("text", lambda: f"tensor tp {{\na packed_colwise({', '.join(['1'] * 20_000)})\n}}\n"),
    "many axes": ("text", lambda: f"mesh {', '.join(f'a{i}' for i in range(20_000))}\n"),
    "blank lines": ("text", lambda: "\n" * 500_000),
    "comments": ("text", lambda: "# a\n" * 50_000),
    "choices": ("text", lambda: f"compile {{ {'{a,b}' * 40} }}\n"),
    "joined choices": ("text", lambda: "".join(f"let p{i} = p{i - 1}.{{a,b}}\n" for i in range(1, 200))),
    "open braces": ("text", lambda: f"compile {{ {'{a,' * 20_000} }}\n"),
    "open braces on lines": ("text", lambda: "compile {\n" + "a.{b\n" * 10_000 + "}\n"),
    "ranges": ("text", lambda: "compile {\n" + "a.{0..9999}.b\n" * 200 + "}\n"),
    "stars": ("text", lambda: "compile {\n" + f"{'**.' * 30}x\n{'a.' * 60}y\n" + "}\n"),
    "stars in a name": ("text", lambda: "compile {\n" + f"{'*a' * 5000}b\n{'a' * 10_000}\n" + "}\n"),
    "lets of lets": ("text", lambda: "".join(f"let p{i} = p{i + 1}\n" for i in range(3000))),
    "misspelt layouts": (
        "text",
        lambda: "".join(f"let layout{i} = shard(1)\n" for i in range(1000))
        + "tensor tp {\n" + "".join(f"m{i} colwise -> layuot{i}\n" for i in range(1000)) + "}\n",
    ),
    "long misspelt names": (
        "text",
        lambda: f"let {'ab' * 5000} = shard(1)\ntensor tp {{\na colwise -> {'ba' * 5000}\n}}\n",
    ),
    "conditions of many options": (
        "text",
        lambda: "".join(f"option o{i} = true\n" for i in range(8)) + "compile {\n"
        + "".join(f"m{i} when {' and '.join(f'o{j}' for j in range(8))}\n" for i in range(1000)) + "}\n",
    ),
    "rules": ("text", lambda: "tensor tp {\n" + "".join(f"a.b{i} colwise\n" for i in range(5000)) + "}\n"),
    "settings": ("text", lambda: "fsdp dp {\n" + "params: bf16\n" * 3000 + "}\n"),
    "misspelt settings": (
        "text",
        lambda: "".join(["fsdp dp {\n", *(f"parms{i}: x\n" for i in range(2000)), "}\n"]),
    ),
    "misspelt statements": ("text", lambda: "".join(f"reqire{i} x\n" for i in range(10_000))),
    "removes": (
        "text",
        lambda: "extends llama\ntensor tp {\n"
        + "".join(f"remove model.lay{i}\n" for i in range(2000)) + "}\n",
    ),
    "blocks": ("text", lambda: "compile { a }\n" * 3000),
    "yaml lists": ("yaml", lambda: "[" * 10_000),
    "yaml dashes": ("yaml", lambda: "- " * 10_000),
    "yaml maps": ("yaml", lambda: "{a: " * 10_000),
    "yaml keys": ("yaml", lambda: "".join(f"a{i}: 1\n" for i in range(5000))),
    "yaml wrong rules": (
        "yaml",
        lambda: "blocks:\n- kind: tensor\n  axis: tp\n  rules:\n" + "  - {patern: a}\n" * 2000,
    ),
    "yaml wrong patterns": (
        "yaml",
        lambda: "blocks:\n- kind: compile\n  targets:\n" + "  - {pattern: 'a..b'}\n" * 2000,
    ),
    "json lists": ("json", lambda: "[" * 100_000),
    "json maps": ("json", lambda: '{"a":' * 100_000),
    "json number": ("json", lambda: f'{{"name": {"9" * 100_000}}}'),
    "json expression": ("json", lambda: json.dumps({"requires": [{"condition": "(" * 9000}]})),
    "json expressions": (
        "json",
        lambda: json.dumps({"requires": [{"condition": f"a + {i} <= (b"} for i in range(2000)]}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LARGE)
def test_large(name: str) -> None:
    form, make = LARGE[name]
    """Ends, in time that grows with the text and not with its square, or the suite is stuck here."""
    check_any_source(make().encode(), form, Random(0))


ODD: dict[str, tuple[str, bytes]] = {
    "json with half characters": ("json", b'{"model": "\\ud83d\\ude00"}'),
    "json with a lone half character": ("json", b'{"model": "\\ud83d"}'),
    "json indented by tabs": ("json", b'{\n\t"name":\t"x"\n}'),
    "json without blanks": ("json", b'{"name":"x","model":"y"}'),
    "json with a raw delete": ("json", '{"model": "\x7f\x85\u2028\ufffe"}'.encode()),
    "json with a slash": ("json", b'{"model": "hf:a\\/b"}'),
    "json of one number": ("json", b"1"),
    "json of nothing": ("json", b""),
    "yaml of a date as a number": ("yaml", b"name: !!int 2020-01-01"),
    "yaml of a list as a number": ("yaml", b"name: !!int '[1]'"),
    "yaml of a set as a number": ("yaml", b"name: !!float '!!set {a}'"),
    "yaml of a loop as a number": ("yaml", b"name: !!float '&a [*a]'"),
    "yaml of bytes as a number": ("yaml", b"name: !!int '!!binary aGk='"),
    "yaml of infinity": ("yaml", b"name: .inf"),
    "yaml of no number": ("yaml", b"name: .nan"),
    "yaml of a long fraction": ("yaml", b"name: 1.0e+400"),
    "yaml of base sixty": ("yaml", b"name: 12:30:45"),
    "yaml of a set": ("yaml", b"!!set {a, b}"),
    "yaml of python": ("yaml", b"!!python/object/apply:os.system [ls]"),
    "yaml of two": ("yaml", b"name: x\n---\nname: y"),
    "yaml with escapes": ("yaml", b'mesh: {axes: [{name: "\\e[31mtp"}]}'),
    "yaml with a key of escapes": ("yaml", b'"\\e[31m": 1'),
    "yaml with a tag of escapes": ("yaml", b"name: !%1B[31m x"),
    "yaml with wide characters": ("yaml", "model: \U0001f600\nnam: 日\n".encode()),
    "yaml with a null byte": ("yaml", b"name: x\0"),
    "yaml with an open text": ("yaml", b'name: "x'),
    "escapes in quotes": ("text", b'model "\x1b[31m"\nrequire false "\x1b[31m"\n'),
    "escapes in a comment": ("text", b"# \x1b[31m\nplan x\nplan y # \x1b[31m\n"),
    "escapes in extends": ("text", b'extends "\x1b[31m"\n'),
    "escapes as code": ("text", b"\x1b[31m = 3\n"),
    "negated truth": ("text", b"require -true == 1\n"),
    "only a mark": ("text", b"\xef\xbb\xbf"),
    "not unicode": ("text", b"plan x\n\xff\n"),
    "half a character": ("text", b"plan x\n\xe6\x97"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd(name: str) -> None:
    form, encoded = ODD[name]
    check_any_source(encoded, form, Random(0))


@pytest.mark.parametrize("name", [n for n in ODD if n.startswith(("json with", "json ind"))])
def test_valid_json_is_read(name: str) -> None:
    """What JSON allows anywhere is no fault of form: only half a character is no text."""
    document = read_bytes(ODD[name][1], "x.json", "json")
    assert bool(document.diagnostics) == (name == "json with a lone half character")
