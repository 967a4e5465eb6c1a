"""Input files with something wrong: what is shipped, changed at random.

A mutant is a shipped input and a list of changes, each of a kind and with a seed of its own, so
that changes can be left out one by one to find which of them matters. Some act on the tree of a
file, others then on its text, the last on its bytes.
"""

import contextlib
import copy
import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import yaml

from steps.settings.overrides import SECTIONS
from steps.settings.schema import schema
from tests.fuzz import expressions

INPUTS = Path(__file__).parents[2] / "inputs"

# Shipped files and how often each is changed.
BASES = {
    "ph/input.yml": 30,
    "ph/jets_photons.yml": 20,
    "ph/madgraph.yml": 10,
    "ml/input.yml": 30,
    "ml/jets_photons.yml": 10,
    "profiles/default.yml": 5,
    "profiles/full.yml": 2,
    "sweeps/default.yml": 5,
    "ph/cards/pythia8.cmnd": 4,
    "ph/cards/gluon_fusion.cmnd": 2,
    "ph/cards/diphoton.cmnd": 2,
    "ph/cards/run_card_signal.dat": 1,
    "ph/cards/proc_card_signal.dat": 1,
    "ph/cards/param_card_template.dat": 1,
    "parameters": 12,
}


class Change(NamedTuple):
    """One change: a kind out of those of this module, and the seed of what is random in it."""

    kind: str
    seed: int


class Mutant(NamedTuple):
    """A shipped file, or ``parameters`` for the workflow's, and what is changed."""

    base: str
    changes: tuple[Change, ...]

    @property
    def text(self) -> str:
        """Return it in one line."""
        return f"{self.base}: {', '.join(f'{c.kind}({c.seed})' for c in self.changes)}"

    def content(self) -> bytes:
        """Return what the file holds."""
        text = (INPUTS / self.base).read_text()
        if chosen := [c for c in self.changes if c.kind in TREE]:
            holder = [copy.deepcopy(_tree(self.base))]
            for change in chosen:
                # Numbers that an earlier change made too large.
                with contextlib.suppress(OverflowError):
                    TREE[change.kind](holder, Random(change.seed))
            text = _dumped(holder[0])
        for change in self.changes:
            if change.kind in TEXT:
                text = TEXT[change.kind](text, Random(change.seed))
        content = text.encode("utf-8", "surrogatepass")
        for change in self.changes:
            if change.kind in BYTES:
                content = BYTES[change.kind](content, Random(change.seed))
        return content

    def parameters(self) -> dict[str, str]:
        """Return parameters of the workflow that are not the default ones."""
        values: dict[str, str] = {}
        for change in self.changes:
            if change.kind in PARAMETERS:
                values |= PARAMETERS[change.kind](Random(change.seed))
        return values


def draw(rng: Random) -> Mutant:
    """Draw a mutant."""
    base = rng.choices(list(BASES), list(BASES.values()))[0]
    kinds = _KINDS[_family(base)]
    n = rng.choice((1, 1, 1, 2, 2, 3))
    chosen = rng.choices(list(kinds), list(kinds.values()), k=n)
    return Mutant(base, tuple(Change(kind, rng.getrandbits(32)) for kind in chosen))


def shorter(mutant: Mutant) -> Iterator[Mutant]:
    """Yield the mutant without each of its changes."""
    for k in range(len(mutant.changes)):
        yield mutant._replace(changes=mutant.changes[:k] + mutant.changes[k + 1 :])


def _family(base: str) -> str:
    if base == "parameters":
        return base
    return "card" if "/cards/" in base else base.split("/")[0]


@cache
def _tree(base: str) -> Any:
    return yaml.safe_load((INPUTS / base).read_text())


class _Flat(yaml.SafeDumper):
    """Writes equal parts out, each in its place."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class _Fast(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """The same by libyaml, which takes no half characters."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _dumped(tree: Any) -> str:
    try:
        return yaml.dump(tree, Dumper=_Fast, sort_keys=False, allow_unicode=True)
    except UnicodeEncodeError:
        return yaml.dump(tree, Dumper=_Flat, sort_keys=False, allow_unicode=True)


# ---------------------------------------------------------------------------- values

NUMBERS: tuple[Any, ...] = (
    *(0, -0.0, -1, 1, 2, 3, 0.5, 1.5, -3.2, 7, 100, 1e-9, 1e-320, 5e-324, 1e308, -1e308, 1.0, 1e5),
    *(2**31, 2**53, 2**63, 2**64, -(2**63), 10**18, 10**400, -(10**400), 10**4000),
    *(float("nan"), float("inf"), float("-inf")),
)
STRINGS: tuple[str, ...] = (
    *("", " ", "0x10", "1_000", "1e5", "1", "-1", "nan", "inf", "null", "true", "~", "=", "<<"),
    *("sm", "w", "alice", "sally", "pt_j1", "theta", "signal", "ggF", "builtin", "madgraph"),
    *("'", '"', "''", "a'b", 'a"b', "a\nb", "a\n", "sm\n", "\n", "a\tb", "a\x00b", "\x1b[31mred"),
    *("a/b", "../x", "..", ".", "/", "/etc/passwd", "/dev/zero", "cards", "cards/", "~root", "*"),
    *("sys:", "sys: a", "{}", "{0}", "%s", "%n", "${HOME}", "$(exit 1)", "`exit 1`", "; exit 1"),
    *("a b", "a:b", "a: b", "- a", "#", "!!str", "&a", "*a", "é", "ｓｍ", "ѕm", "\u2028", "\x85"),
    *(
        "\ud800",
        "\ufeff",
        "🚀",
        "x" * 300,
        "x" * 100_000,
        "-h",
        "--help",
        "CON",
        "a" * 256 + ".dat",
    ),
    *("morphing_basis_vector_0", "morphing_basis_vector_99", "(-3, 3)", "(3, -3)", "(1,2,3)"),
    *("(nan, inf)", "0.5,1,2", "0.5,2", "1,1", "0,2", "-1,2", "NNPDF31_lo_as_0130", "1e400,2"),
)
_OTHERS: tuple[Any, ...] = (
    *(None, True, False, [], {}, [None], [[]], [{}], {"a": 1}, [1, 2], [1.0, 2.0, 3.0], ["a", "b"]),
    *(datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1, 1), b"bytes", {"a"}),
)
_KEYS: tuple[Any, ...] = (
    1,
    True,
    None,
    1.5,
    datetime.date(2020, 1, 1),
    "",
    " ",
    "a\nb",
    "a\x00",
    "'",
)


def _value(rng: Random) -> Any:
    return copy.deepcopy(rng.choice(rng.choice((NUMBERS, STRINGS, _OTHERS))))


# ---------------------------------------------------------------------------- trees

# A tree hangs in a list of one item, so that its root can be replaced as any other part.
Tree = list[Any]
Place = tuple[Any, Any]
"""A list or mapping, and the index or key of a part of it."""


def _places(part: Any) -> Iterator[Place]:
    items = part.items() if isinstance(part, dict) else enumerate(part)
    for key, value in list(items):
        yield part, key
        if isinstance(value, dict | list):
            yield from _places(value)


def _pick(
    tree: Tree, rng: Random, wanted: Callable[[Any, Any], bool] | None = None
) -> Place | None:
    """Choose a place; the root only now and then, since it is all."""
    found = [p for p in _places(tree) if wanted is None or wanted(*p)]
    inner = found[1:] if len(found) > 1 and found[0][0] is tree and rng.random() < 0.99 else found
    return rng.choice(inner) if inner else None


def _delete(tree: Tree, rng: Random) -> None:
    if (place := _pick(tree, rng)) and place[0] is not tree:
        del place[0][place[1]]


def _replace(values: Callable[[Random], Any], wanted: Callable[[Any, Any], bool] | None = None):
    def change(tree: Tree, rng: Random) -> None:
        if place := _pick(tree, rng, wanted):
            place[0][place[1]] = values(rng)

    return change


def _is_number(parent: Any, key: Any) -> bool:
    return isinstance(parent[key], int | float) and not isinstance(parent[key], bool)


def _is_text(parent: Any, key: Any) -> bool:
    return isinstance(parent[key], str)


def _is_expression(parent: Any, key: Any) -> bool:
    return key in ("definition", "expression", "param_card_transform")


def _scale(tree: Tree, rng: Random) -> None:
    """Change a number a little: most of these files are still good ones."""
    if place := _pick(tree, rng, _is_number):
        old = place[0][place[1]]
        new = old * rng.choice((0.5, 2, 3, -1, 1.1)) + rng.choice((0, 0, 1))
        place[0][place[1]] = type(old)(new)


def _flip(tree: Tree, rng: Random) -> None:
    """Turn a truth value, or choose another name that the file knows."""
    if rng.random() < 0.5 and (place := _pick(tree, rng, lambda p, k: isinstance(p[k], bool))):
        place[0][place[1]] = not place[0][place[1]]
        return
    texts = [p[k] for p, k in _places(tree) if _is_text(p, k)]
    if texts and (place := _pick(tree, rng, _is_text)):
        place[0][place[1]] = rng.choice(texts)


def _rename(tree: Tree, rng: Random) -> None:
    place = _pick(tree, rng, lambda parent, key: isinstance(parent, dict))
    if place is None:
        return
    parent, old = place
    new = rng.choice(_respelt(str(old), rng)) if rng.random() < 0.7 else rng.choice(_KEYS)
    items = [(new if key == old else key, value) for key, value in parent.items()]
    parent.clear()
    parent.update(items)


def _respelt(key: str, rng: Random) -> list[str]:
    k = rng.randrange(max(len(key), 1))
    lookalikes = str.maketrans("aeopcxyi", "аеорсхуі")
    swapped = key[:k] + key[k + 1 : k + 2] + key[k : k + 1] + key[k + 2 :]
    return [
        *(key[:k] + key[k + 1 :], key[:k] + key[k : k + 1] * 2 + key[k + 1 :], swapped),
        *(key.upper(), key.capitalize(), key.translate(lookalikes), f" {key}", f"{key} "),
        *(key.replace("_", "-"), key.replace("_", " "), f"{key}_1", f"{key}\n", key[::-1]),
    ]


def _swap(tree: Tree, rng: Random) -> None:
    first, second = _pick(tree, rng), _pick(tree, rng)
    if first and second:
        value = copy.deepcopy(second[0][second[1]])
        first[0][first[1]] = value


def _repeat(tree: Tree, rng: Random) -> None:
    """Make a list longer by copies of an item."""
    if place := _pick(tree, rng, lambda p, k: isinstance(p[k], list) and p[k]):
        items = place[0][place[1]]
        items += [copy.deepcopy(rng.choice(items)) for _ in range(rng.choice((1, 1, 2, 10, 300)))]


def _empty(tree: Tree, rng: Random) -> None:
    if place := _pick(tree, rng, lambda p, k: isinstance(p[k], list | dict)):
        place[0][place[1]] = type(place[0][place[1]])()


def _bury(tree: Tree, rng: Random) -> None:
    """Wrap a part in lists or mappings."""
    if place := _pick(tree, rng):
        for _ in range(rng.choice((1, 1, 2, 10, 90))):
            inner = place[0][place[1]]
            place[0][place[1]] = [inner] if rng.random() < 0.7 else {"a": inner}


def _move(tree: Tree, rng: Random) -> None:
    """Move a key to another mapping."""
    place = _pick(tree, rng, lambda parent, key: isinstance(parent, dict))
    other = _pick(tree, rng, lambda p, k: isinstance(p[k], dict))
    if place and other:
        into = other[0][other[1]]
        into[place[1]] = copy.deepcopy(place[0].pop(place[1]))


def _insert(tree: Tree, rng: Random) -> None:
    """Add a key that the schema knows and the file has not, with a value that may fit."""
    kind = "ml" if isinstance(tree[0], dict) and "methods" in tree[0] else "ph"
    absent = list(_absent(tree[0], schema(kind)))
    if absent:
        parent, key, of = rng.choice(absent)
        parent[key] = _fitting(of, rng)


def _absent(part: Any, of: Mapping[str, Any]) -> Iterator[tuple[dict, str, Mapping[str, Any]]]:
    if "$ref" in of:
        of = schema("ml")["definitions"][of["$ref"].rsplit("/", 1)[1]]
    if isinstance(part, list) and isinstance(of.get("items"), dict):
        for item in part:
            yield from _absent(item, of["items"])
    if isinstance(part, dict):
        for key, sub in of.get("properties", {}).items():
            if key in part:
                yield from _absent(part[key], sub)
            else:
                yield part, key, sub


def _fitting(of: Mapping[str, Any], rng: Random) -> Any:
    """Return a value that a schema allows, more or less."""
    if "$ref" in of:
        of = schema("ml")["definitions"][of["$ref"].rsplit("/", 1)[1]]
    if "enum" in of:
        return rng.choice(of["enum"])
    types = of.get("type", ["string", "object"])
    match rng.choice([types] if isinstance(types, str) else types):
        case "object":
            required = of.get("required", ())
            items = of.get("properties", {}).items()
            return {k: _fitting(v, rng) for k, v in items if k in required or rng.random() < 0.3}
        case "array":
            return [_fitting(of.get("items", {}), rng) for _ in range(rng.choice((0, 1, 2, 2, 3)))]
        case "boolean":
            return rng.random() < 0.5
        case "integer":
            return rng.choice((of.get("minimum", 0), 1, 2, 5, 50, int(of.get("maximum", 1000))))
        case "number":
            return rng.choice(
                (of.get("minimum", 0.0), 0.05, 0.5, 1.0, 20.0, of.get("maximum", 1e3))
            )
        case "null":
            return None
    return rng.choice(STRINGS)


TREE: dict[str, Callable[[Tree, Random], None]] = {
    "delete": _delete,
    "rename": _rename,
    "retype": _replace(_value),
    "number": _replace(lambda rng: rng.choice(NUMBERS), _is_number),
    "string": _replace(lambda rng: rng.choice(STRINGS), _is_text),
    "scale": _scale,
    "flip": _flip,
    "swap": _swap,
    "repeat": _repeat,
    "empty": _empty,
    "bury": _bury,
    "move": _move,
    "insert": _insert,
    "expression": _replace(expressions.draw, _is_expression),
}

# ---------------------------------------------------------------------------- texts

_LAUGHS = "\n".join(
    ["a0: &a0 [1, 1]"] + [f"a{k}: &a{k} [*a{k - 1}, *a{k - 1}, *a{k - 1}]" for k in range(1, 40)]
)
_LINES = (
    "loop: &loop [*loop]",
    "loop: &loop {a: *loop}",
    "&loop loop: {*loop : 1}",
    _LAUGHS,
    "x: *nothing",
    "x: !!python/object/apply:os.system ['exit 1']",
    "x: !!python/name:os.system",
    "x: !!int abc",
    "x: !!int ''",
    "x: !!float x",
    "x: !!bool maybe",
    "x: !!timestamp x",
    "x: 2020-13-45",
    "x: 2020-01-01",
    "x: 12:30:45",
    "x: !!binary 'a'",
    "x: !!set {a, b}",
    "x: !!omap [a: 1]",
    "x: !!pairs [a: 1]",
    "x: !unknown 1",
    "<<: 3",
    "<<: [1, 2]",
    "<<: {seed: 2}",
    "? [1, 2]\n: 3",
    "? {a: 1}\n: 3",
    "? |\n  key\n: 3",
    "x: =",
    "x: 1" + "0" * 5000,
    "x: 0b" + "1" * 100,
    "x: 0o9",
    "x: 1__0",
    "x: .inf",
    "x: [" + "[" * 3000,
    "x: " + "[" * 3000 + "]" * 3000,
    "x: " + "{a: " * 300 + "1" + "}" * 300,
    "- " * 500 + "a",
    "x: |\n\ttab",
    "\tx: 1",
    "x:\t1",
    "x: 'open",
    'x: "\\ud800"',
    'x: "\\x00"',
    'x: "\\q"',
    "x: @",
    "x: `",
    "x: %",
    "%YAML 9.9",
    "%TAG ! x",
    "---",
    "--- a\n--- b",
    "...",
    "x: a: b",
    "x",
    "[",
    "}",
    "\ufeffx: 1",
    "x: \u2028",
    "x: \x07",
    "x: " + "y" * 100_000,
    "x: '" + "y" * 10_000_000 + "'",
    "\n".join(f"x{k}: {k}" for k in range(500)),
    "x: [" + "1, " * 400_000 + "1]",
)


def _at(lines: list[str], rng: Random) -> int:
    return rng.randrange(len(lines)) if lines else 0


def _insert_line(text: str, rng: Random) -> str:
    """Insert a line, at the margin or as deep as its neighbour."""
    lines = text.splitlines()
    k = _at(lines, rng)
    before = lines[k] if lines else ""
    margin = before[: len(before) - len(before.lstrip())] if rng.random() < 0.5 else ""
    lines.insert(k, "\n".join(margin + line for line in rng.choice(_LINES).split("\n")))
    return "\n".join(lines)


def _repeat_line(text: str, rng: Random) -> str:
    """Repeat a line beside itself or elsewhere: a key that is there twice."""
    lines = text.splitlines()
    line = lines[_at(lines, rng)] if lines else ""
    lines.insert(_at(lines, rng), line)
    return "\n".join(lines)


def _delete_lines(text: str, rng: Random) -> str:
    lines = text.splitlines()
    k = _at(lines, rng)
    del lines[k : k + rng.choice((1, 1, 2, 5))]
    return "\n".join(lines)


def _indent(text: str, rng: Random) -> str:
    lines = text.splitlines()
    if lines:
        k = _at(lines, rng)
        lines[k] = rng.choice((" ", "\t", "    ")) + lines[k]
    return "\n".join(lines)


def _character(text: str, rng: Random) -> str:
    """Delete a character or insert one that means something."""
    k = rng.randrange(len(text) + 1)
    new = rng.choice(
        ("", "", ":", "-", "[", "}", "'", '"', "#", "&", "*", "!", "\t", "\n", "%", "é")
    )
    return text[:k] + new + text[k + (not new) :]


def _tag(text: str, rng: Random) -> str:
    """Put a tag, anchor or alias before a value."""
    lines = text.splitlines()
    valued = [k for k, line in enumerate(lines) if ": " in line and not line.startswith("#")]
    if valued:
        k = rng.choice(valued)
        key, _, value = lines[k].partition(": ")
        marks = ("!!str", "!!int", "!!float", "!!null", "!!bool", "!!seq", "!!map", "!!timestamp")
        marks += (
            "!!binary",
            "!!set",
            "!!python/tuple",
            "&sm",
            "*sm",
            "!x",
            "? ",
            "|",
            ">",
            "%",
            "@",
        )
        lines[k] = f"{key}: {rng.choice(marks)} {value.lstrip()}"
    return "\n".join(lines)


TEXT: dict[str, Callable[[str, Random], str]] = {
    "insert line": _insert_line,
    "repeat line": _repeat_line,
    "delete lines": _delete_lines,
    "indent": _indent,
    "character": _character,
    "tag": _tag,
}

# ---------------------------------------------------------------------------- bytes


def _overwrite(content: bytes, rng: Random) -> bytes:
    new = bytearray(content or b"a")
    for _ in range(rng.choice((1, 1, 3, 30))):
        new[rng.randrange(len(new))] = rng.choice((0, 0xFF, 0xC3, 0x1B, 0x85, rng.randrange(256)))
    return bytes(new)


def _recode(content: bytes, rng: Random) -> bytes:
    text = content.decode(errors="replace")
    code = rng.choice(("utf-16", "utf-16-be", "utf-32", "utf-8-sig", "utf-7", "cp037", "latin-1"))
    return text.encode(code, "replace")


def _truncate(content: bytes, rng: Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _whole(content: bytes, rng: Random) -> bytes:
    """Replace everything."""
    return rng.choice(
        (
            *(b"", b"\n", b"\x00", b"\xff\xfe", b"\x89HDF\r\n\x1a\n", b"a", b"1", b"[]", b"{}"),
            *(b"# nothing", b"\x1f\x8b\x08\x00", rng.randbytes(1000), content * 2),
            b"y" * 10_000_000,
        )
    )


BYTES: dict[str, Callable[[bytes, Random], bytes]] = {
    "overwrite": _overwrite,
    "recode": _recode,
    "truncate": _truncate,
    "whole": _whole,
}

# ---------------------------------------------------------------------------- parameters


def _count(rng: Random) -> dict[str, str]:
    name = rng.choice(("seed", "num_events", "num_procs_per_job"))
    return {name: str(rng.choice(NUMBERS) if rng.random() < 0.6 else rng.choice(STRINGS))}


def _override(rng: Random) -> dict[str, str]:
    """Make a text of overrides, of known keys and others."""
    argument = rng.choice(list(SECTIONS))
    keys = list(schema("ml")["properties"][SECTIONS[argument]]["properties"])
    pairs = []
    for _ in range(rng.choice((1, 1, 2, 5, 200))):
        key = rng.choice(keys) if rng.random() < 0.8 else rng.choice(STRINGS)
        values: Sequence[Any] = rng.choice((NUMBERS, NUMBERS, STRINGS, ("tanh", "64,64", "64,,1")))
        pairs.append(f"{key}{rng.choice(('=', '=', '=', '==', ' = ', ''))}{rng.choice(values)}")
    return {argument: rng.choice((" ", " ", "  ", ",", "\n")).join(pairs)}


PARAMETERS: dict[str, Callable[[Random], dict[str, str]]] = {
    "count": _count,
    "override": _override,
}

# ---------------------------------------------------------------------------- how often

_OF_TREES = {
    **dict.fromkeys(("delete", "rename", "number", "string", "swap", "insert", "retype"), 3),
    **dict.fromkeys(("scale", "flip"), 4),
    **dict.fromkeys(("repeat", "empty", "bury", "move"), 1),
}
_OF_TEXTS = {"insert line": 2, **dict.fromkeys((*TEXT, *BYTES), 1), "whole": 0.3}
_KINDS: dict[str, dict[str, float]] = {
    "ph": {**_OF_TREES, "expression": 8, **_OF_TEXTS},
    "ml": {**_OF_TREES, **_OF_TEXTS},
    "profiles": {**_OF_TREES, **_OF_TEXTS},
    "sweeps": {**_OF_TREES, **_OF_TEXTS},
    "card": {k: v for k, v in _OF_TEXTS.items() if k != "tag"},
    "parameters": {"count": 1, "override": 2},
}
