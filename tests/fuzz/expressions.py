"""Expressions at random, of the language of observables and cuts and beside it."""

from random import Random

_LISTS = ("j", "e", "mu", "a", "l", "x", "ｊ")
_PARTICLES = ("met", "all", "visible", "j[0]", "a[1]")
_PROPERTIES = ("pt", "eta", "phi", "m", "rapidity", "charge", "b_tag", "pdgid", "gamma", "mt2")
_ODD_PROPERTIES = ("__class__", "__dict__", "pt.real", "Pt", "jet", "imag")
_METHODS = ("deltaphi", "deltaR", "dot", "deltaeta", "deltaangle", "boost")
_FUNCTIONS = ("abs", "sqrt", "log", "exp", "float", "int", "bool", "cosh", "max", "pow", "atan2")
_ODD_FUNCTIONS = ("eval", "print", "open", "getattr", "sum", "len")
_OPERATORS = ("+", "-", "*", "/", "//", "%", "**")
_ODD_OPERATORS = ("@", "<<", "|", "^", "in", "is", "is not")
_COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
_INDICES = (
    "0",
    "1",
    "-1",
    "-0",
    "2",
    "99",
    "-99",
    "10**30",
    "1.5",
    "True",
    "None",
    "1:2",
    "'a'",
    "",
)
_LITERALS = ("0", "1", "0.", "-0.0", "1e308", "1e-320", "1e999", "1_000", "0x10", "0b1", "3.5")
_ODD_LITERALS = (
    "1j",
    "None",
    "True",
    "...",
    "''",
    "b'a'",
    "9" * 400,
    "9" * 5000,
    "007",
    "1.e",
    "[]",
)
_NAMES = ("theta", "pt_j1", "delta_phi_jj", "pi", "inf", "nan", "π", "self", "__builtins__")

HOSTILE = (
    "9**9**9",
    "9**9**9**9**9",
    "1/0",
    "0**-1",
    "(-1)**0.5",
    "(lambda: 1)()",
    "(x := 1)",
    "[p.pt for p in j]",
    "{p for p in j}",
    "sum(p.pt for p in j)",
    "f'{j[0].pt}'",
    "'a' * 10**10",
    "[0] * 10**10",
    "__import__('os').system('exit 1')",
    "j.__class__.__bases__[0].__subclasses__()",
    "j[0].pt.__class__",
    "eval('1')",
    "j[0].pt if",
    "yield j",
    "await j",
    "*j",
    "**j",
    "j[0]; j[1]",
    "import os",
    "j[0].pt = 3",
    "j[0].pt # comment",
    "# comment",
    "j[0].\npt",
    "j[0].pt\n> 30",
    "(j[0].pt\n> 30)",
    '"""',
    "'",
    "\\",
    "j[0].pt\\",
    "j[0].pt\x00",
    "\x00",
    "j[0].pt\x1b[31m",
    "j[0].pt\u2028",
    "j [0] . pt",
    " j[0].pt",
    "\tj[0].pt",
    "  ",
    "_",
    "%s",
    "{}",
    "${HOME}",
    "$(exit 1)",
    "1 and 2 or 3",
    "1and 2",
    "0or 1",
    "1[0]",
    "1()",
    "'a'()",
    "1 is 1",
    "j[0].pt > 30. > 20. >",
    "30. < j[0].pt < 300. < 1e4",
    "j[0].pt < j",
    "not",
    "not not j[0].pt",
    "len(j) > 1 and j[1].pt",
    "len(len)",
    "len()",
    "len(j, j)",
    "max(1)",
    "max(*j)",
    "abs(x=1)",
    "j[0](1)",
    "j[0].deltaphi(j[0].pt)",
    "j[0].deltaphi(*j)",
    "boost_to_com(j)",
    "boost_to_com(j[0] - j[0]).pt",
    "(j[0] - j[0]).eta",
    "(j[0] * 1e308).m",
    "(j[0] / 0).pt",
    "(0 * j[0]).deltaR(0 * j[1])",
    "(" * 90 + "1" + ")" * 90,
    "(" * 1000 + "1" + ")" * 1000,
    "-" * 99 + "1",
    "-" * 1900 + "1",
    "~" * 50 + "1",
    "not " * 400 + "1",
    "+".join(["1"] * 900),
    "1+" * 99 + "1",
    "+".join(["j[0].pt"] * 90),
    "1<" * 500 + "1",
    "max(" + ",".join(["1"] * 600) + ")",
    "j" + "[0]" * 300,
    "j[0]" + ".pt" * 300,
    "abs(" * 200 + "1" + ")" * 200,
    "1 if 1 else " * 90 + "1",
    "j[0].pt" + " " * 5000,
    "j[0].pt" * 400,
    "x" * 10_000,
    "é",
    "ﬁ",
    "\ud800",
    "🚀",
    "",
)


def draw(rng: Random, odd: float = 0.1) -> str:
    """Draw an expression.

    Args:
        rng: Source of what is random.
        odd: Share of parts that are not in the language.
    """
    return rng.choice(HOSTILE) if rng.random() < 0.3 else _number(rng, odd, rng.randint(1, 5))


def _number(rng: Random, odd: float, depth: int) -> str:
    def choose(usual: tuple[str, ...], strange: tuple[str, ...]) -> str:
        return rng.choice(strange if rng.random() < odd else usual)

    def number() -> str:
        return _number(rng, odd, depth - 1)

    def particle() -> str:
        return _particle(rng, odd, depth - 1)

    if depth <= 0:
        return rng.choice(
            [choose(_LITERALS, _ODD_LITERALS), f"{particle()}.pt", rng.choice(_NAMES)]
        )
    match rng.randrange(10):
        case 0 | 1:
            return f"{particle()}.{choose(_PROPERTIES, _ODD_PROPERTIES)}"
        case 2 | 3:
            return f"({number()} {choose(_OPERATORS, _ODD_OPERATORS)} {number()})"
        case 4:
            return f"{choose(_FUNCTIONS, _ODD_FUNCTIONS)}({number()})"
        case 5:
            return " ".join([number(), rng.choice(_COMPARISONS), number()])
        case 6:
            return f"({number()} {rng.choice(('and', 'or'))} {rng.choice(('', 'not '))}{number()})"
        case 7:
            return f"({number()} if {number()} else {rng.choice((number, particle))()})"
        case 8:
            return f"{particle()}.{rng.choice(_METHODS)}({particle()})"
        case _:
            return f"len({rng.choice(_LISTS)}) * {number()}"


def _particle(rng: Random, odd: float, depth: int) -> str:
    if depth <= 0 or rng.random() < 0.5:
        if rng.random() < 0.4:
            return rng.choice(_PARTICLES)
        return (
            f"{rng.choice(_LISTS)}[{rng.choice(_INDICES if rng.random() < odd else _INDICES[:3])}]"
        )
    inner = _particle(rng, odd, depth - 1)
    match rng.randrange(4):
        case 0:
            return f"({inner} {rng.choice(('+', '-'))} {_particle(rng, odd, depth - 1)})"
        case 1:
            return f"({_number(rng, odd, depth - 1)} * {inner})"
        case 2:
            return f"boost_to_com({inner})"
        case _:
            return f"(-{inner})"
