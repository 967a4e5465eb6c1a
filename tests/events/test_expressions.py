"""The expression language against Python's own eval of MadMiner's particles, event by event."""

import ast
import inspect
import math
import time

import awkward as ak
import numpy as np
import pytest
import vector
from hypothesis import given, settings
from hypothesis import strategies as st

from steps.events import expressions
from steps.events.expressions import ExpressionError, parse
from steps.madminer import library  # noqa: F401 - imports MadMiner without its warnings

from madminer.utils.particle import MadMinerParticle  # isort: skip
from madminer.utils.various import math_commands  # isort: skip

vector.register_awkward()

LISTS = ("j", "e", "mu", "a")
LABELS = {
    "j": ("b_tag", "tau_tag"),
    "e": ("charge", "pdgid"),
    "mu": ("charge", "pdgid"),
    "l": ("charge", "pdgid"),
    "a": ("charge",),
}

# From MadMiner's documentation, tutorials and default observables.
FROM_MADMINER = [
    "j[0].pt",
    "(j[0].phi - j[1].phi) * (-1. + 2.*float(j[0].eta > j[1].eta))",
    "j[0].deltaphi(j[1]) * (-1. + 2.*float(j[0].eta > j[1].eta))",
    "(j[0]+j[1]).m",
    "(a[0] + a[1]).m > 122.",
    "met.pt",
    "met.phi",
    "visible.e",
    "visible.eta",
    "len(l)",
    "j[0].e",
    "l[0].charge",
    "abs(j[0].phi - j[1].phi)",
    "len(e) >= 2",
    "mu[0].charge > 0.",
    "j[0].b_tag",
    "a[0].deltaR(a[1])",
    "j[0].pt > 30. and len(a) >= 2",
]
PARTICLES = [
    "j[-1].pt",
    "j[-2].eta",
    "j[2].mass",
    "mu[0].pdgid",
    "(l[0] + l[1]).charge",
    "(l[0] - l[1]).charge",
    "(j[0] + j[1]).b_tag",
    "not j[0].tau_tag",
    "(j[0] - j[1]).pt",
    "(-j[0] + j[1]).E",
    "(2. * j[0] + j[1] * 3. - j[0] / len(j)).m2",
    "(j[0] + met + l[0]).mt",
    "(j[0] if j[0].b_tag else j[1]).pt",
    "boost_to_com(j[0]).pt",
    "boost_to_com(j[0] + l[0]).costheta",
    "(visible + met).m - all.m",
    *(f"j[0].{name}" for name in expressions._PROPERTIES),
    *(f"j[0].{method}(l[0] + j[1])" for method in expressions._METHODS),
]
NUMBERS = [
    "len(j) > 1 and j[1].pt > 30.",
    "len(j) < 2 or j[1].pt > 30.",
    "j[1].pt > 30. and len(j) > 1",
    "len(j) and j[0].pt",
    "len(j) or met.pt",
    "not len(j)",
    "20 < j[0].pt < 200 != len(j)",
    "len(j) == 2 or len(j) <= 0",
    "j[1].pt if len(j) > 1 else -1.",
    "1. if j[1].pt > 30. else 0.",
    "len(j) / len(a) + len(j) // len(a) - len(j) % len(a)",
    "+len(j) ** 2 - 2 ** -len(j)",
    "(len(j) - 2) ** 0.5",
    "sqrt(len(j) - 2)",
    "log(len(j)) + log(met.pt, 10) + log(met.pt, len(j))",
    "acos(len(j) - 1) + asin(1 - len(j)) + atan(met.px)",
    "atan2(met.py, met.px) - met.phi",
    "sin(met.phi) + cos(met.phi) + tan(met.phi)",
    "sinh(met.eta) + cosh(met.eta) + tanh(met.eta)",
    "exp(met.pt / 100.) + exp(met.pt * 5.)",
    "ceil(met.px) + floor(met.px) + int(met.px)",
    "pow(met.px, 2) + pow(met.px, 0.5)",
    "min(met.px, met.py) - max(met.px, met.py, j[0].px)",
    "bool(len(j)) + True - False * pi",
]


def particle(pt, eta, phi, mass, charge=1, tag=False):
    p = MadMinerParticle.from_rhophietatau(pt, phi, eta, mass)
    p = MadMinerParticle.from_xyzt(p.px, p.py, p.pz, p.E)
    p.charge, p.pdgid, p.b_tag, p.tau_tag = charge, 11 * charge, tag, not tag
    return p


def with_sums(event):
    def ordered(name):
        return sorted(event[name], key=lambda p: -p.pt)

    visible = MadMinerParticle.from_xyzt(0.0, 0.0, 0.0, 0.0)
    visible.charge = visible.pdgid = None
    for p in (p for name in LISTS for p in event[name]):
        visible = visible + p
    lists = {name: ordered(name) for name in LISTS}
    leptons = sorted(lists["e"] + lists["mu"], key=lambda p: -p.pt)
    return lists | {
        "l": leptons,
        "met": event["met"],
        "visible": visible,
        "all": visible + event["met"],
    }


particles = st.builds(
    particle,
    st.floats(1.0, 500.0),
    st.floats(-3.0, 3.0),
    st.floats(-3.14, 3.14),
    st.floats(1.0, 50.0),
    st.sampled_from([-1, 1]),
    st.booleans(),
)
events = st.fixed_dictionaries(
    {"met": particles} | {name: st.lists(particles, max_size=3) for name in LISTS}
).map(with_sums)


def record(p, labels=()):
    momentum = {"px": p.px, "py": p.py, "pz": p.pz, "E": p.E}
    return momentum | {label: getattr(p, label) for label in labels}


def columns(sample):
    """Variables as an expression takes them."""
    variables = {
        name: [[record(p, labels) for p in event[name]] for event in sample]
        for name, labels in LABELS.items()
    } | {name: [record(event[name]) for event in sample] for name in ("met", "visible", "all")}
    return {name: ak.Array(v, with_name="Momentum4D") for name, v in variables.items()}


def oracle(text, sample):
    """Evaluate a trusted expression as MadMiner does, except for the frame of boost_to_com."""

    def value(event):
        def boost_to_com(p):
            return p.boostCM_of_p4(event["all"])

        try:
            number = float(eval(text, math_commands() | event | {"boost_to_com": boost_to_com}))
        except (ArithmeticError, IndexError, TypeError, ValueError):
            return math.nan
        return number if math.isfinite(number) else math.nan

    with np.errstate(all="ignore"):
        return np.array([value(event) for event in sample])


@pytest.fixture(scope="module")
def sample():
    rng = np.random.default_rng(1)

    def draw():
        low, high = (1.0, -3.0, -3.14, 1.0), (500.0, 3.0, 3.14, 50.0)
        return particle(*rng.uniform(low, high), int(rng.choice([-1, 1])), bool(rng.integers(2)))

    def draw_list():
        return [draw() for _ in range(rng.integers(4))]

    return [with_sums({"met": draw()} | {name: draw_list() for name in LISTS}) for _ in range(100)]


@pytest.mark.parametrize("text", FROM_MADMINER + PARTICLES + NUMBERS)
def test_agrees_with_eval(text, sample):
    values = parse(text).evaluate(columns(sample))
    assert values.dtype == np.float64
    assert np.isfinite(values).any()
    np.testing.assert_allclose(values, oracle(text, sample), rtol=1e-6, atol=1e-6)


# Not random: comparisons of values that agree up to rounding may differ from Python's.
@settings(deadline=None, derandomize=True)
@given(st.lists(events, max_size=4), st.sampled_from(FROM_MADMINER + PARTICLES + NUMBERS))
def test_agrees_with_eval_on_any_events(sample, text):
    values = parse(text).evaluate(columns(sample))
    assert values.shape == (len(sample),)
    np.testing.assert_allclose(values, oracle(text, sample), rtol=1e-5, atol=1e-3)


def compound(part):
    """Operations whose result does not depend on the implementation, not even in the last bit."""
    operators = [*"+-*/%<>", "//", "<=", ">=", "==", "!=", "and", "or"]
    binary = st.tuples(part, st.sampled_from(operators), part).map(
        lambda t: "({} {} {})".format(*t)
    )
    functions = ["abs", "float", "int", "bool", "ceil", "floor", "sqrt", "not ", "-", "+"]
    unary = st.tuples(st.sampled_from(functions), part).map(lambda t: "({}({}))".format(*t))
    extreme = st.tuples(st.sampled_from(["min", "max"]), part, part)
    return st.one_of(
        binary,
        unary,
        extreme.map(lambda t: "{}({}, {})".format(*t)),
        st.tuples(part, part, part).map(lambda t: "({} if {} else {})".format(*t)),
        st.tuples(part, part, part).map(lambda t: "({} < {} >= {})".format(*t)),
    )


# Nothing overflows: Python goes on with an infinity, where columns are undefined.
ordinary = st.floats(-10.0, 10.0).map(lambda x: round(x, 6))


@settings(deadline=None, max_examples=300)
@given(
    st.recursive(
        st.sampled_from(["0", "1", "2.5", "1e-3", "True", "x", "y"]), compound, max_leaves=8
    ),
    st.lists(st.tuples(ordinary, ordinary), min_size=1, max_size=4),
)
def test_arithmetic_agrees_with_eval(text, rows):
    def value(x, y):
        # Whole numbers, which Python has of any size, are floats in columns.
        rounding = {
            "ceil": lambda v: float(math.ceil(v)),
            "floor": lambda v: float(math.floor(v)),
            "int": lambda v: float(int(v)),
        }
        names = math_commands() | rounding | {"x": x, "y": y}
        try:
            return float(eval(text, names))
        except (ArithmeticError, ValueError):
            return math.nan

    x, y = np.array(rows).T
    values = parse(text, ["x", "y"]).evaluate({"x": x, "y": y})
    expected = np.array([value(*row) for row in rows])
    np.testing.assert_array_equal(values, np.where(np.isfinite(expected), expected, np.nan))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 / x", [np.nan, 0.5, np.nan]),
        ("x ** 0", [1.0, 1.0, np.nan]),
        ("pow(1, x)", [1.0, 1.0, np.nan]),
        ("10. ** (x * 1e3)", [1.0, np.nan, np.nan]),
        ("1. / (10. ** (x * 1e3))", [1.0, np.nan, np.nan]),
        ("log(-x)", [np.nan, np.nan, np.nan]),
        ("x > 1", [0.0, 1.0, np.nan]),
        ("not x", [1.0, 0.0, np.nan]),
        ("bool(x)", [0.0, 1.0, np.nan]),
        ("x and 5", [0.0, 5.0, np.nan]),
        ("x or 5", [5.0, 2.0, np.nan]),
        ("0 and x", [0.0, 0.0, 0.0]),
        ("3 or x", [3.0, 3.0, 3.0]),
        ("2 if x else 3", [3.0, 2.0, np.nan]),
        ("4 if True else x", [4.0, 4.0, 4.0]),
        ("max(x, 1)", [1.0, 2.0, np.nan]),
        ("1 < 0 < x", [0.0, 0.0, 0.0]),
        ("j[0].pt", [np.nan, np.nan, np.nan]),
        ("j[0].theta", [np.nan, np.nan, np.nan]),
        ("len(j)", [0.0, 0.0, 0.0]),
        ("met.costheta", [np.nan, np.nan, np.nan]),
        ("len(a) == 0 or a[0].pt > x", [1.0, 1.0, 1.0]),
    ],
)
def test_undefined(text, expected):
    values = parse(text, ["x"]).evaluate({"x": np.array([0.0, 2.0, np.nan])})
    np.testing.assert_array_equal(values, expected)


def test_constants_and_single_numbers_fill_the_sample():
    np.testing.assert_array_equal(parse("2").evaluate({}), [2.0])
    np.testing.assert_array_equal(parse("2").evaluate({"x": np.zeros(3)}), [2.0, 2.0, 2.0])
    transform = parse(" 16.52*theta\n", names=["theta"])
    np.testing.assert_array_equal(transform.evaluate({"theta": 2.0}), [33.04])
    np.testing.assert_array_equal(
        transform.evaluate({"theta": np.array([1.0, 2.0])}), [16.52, 33.04]
    )


def test_whole_powers_are_not_computed_as_python_integers():
    start = time.monotonic()
    assert np.isnan(parse("9**9**9**9").evaluate({})).all()
    assert time.monotonic() - start < 1.0


@pytest.mark.parametrize("text", FROM_MADMINER + PARTICLES + NUMBERS)
def test_empty_samples(text, sample):
    typed = {name: values[:0] for name, values in columns(sample).items()}
    untyped = columns([])
    assert parse(text).evaluate(typed).shape == parse(text).evaluate(untyped).shape == (0,)


def test_missing_objects(sample):
    variables = columns(sample)
    del variables["a"], variables["met"]
    n = len(sample)
    np.testing.assert_array_equal(parse("len(a)").evaluate(variables), np.zeros(n))
    for text in ("a[0].pt", "met.pt", "(met + j[0]).pt", "j[0].charge", "j[0].t_tag"):
        assert np.isnan(parse(text).evaluate(variables)).all()
    np.testing.assert_array_equal(parse("len(j)").evaluate({"j": None, "x": np.zeros(2)}), [0, 0])


def test_events_without_any_particle():
    variables = {"j": ak.Array([[], []])}
    np.testing.assert_array_equal(parse("len(j)").evaluate(variables), [0.0, 0.0])
    assert np.isnan(parse("j[0].pt").evaluate(variables)).all()


def test_names_hide_particles():
    values = parse("met > 30.", names=["met"]).evaluate({"met": np.array([20.0, 40.0])})
    np.testing.assert_array_equal(values, [0.0, 1.0])


def test_properties_may_be_called_and_have_other_names(sample):
    variables = columns(sample)
    pairs = {
        "j[0].phi()": "j[0].phi",
        "j[0].deltar(j[1])": "j[0].deltaR(j[1])",
        "e[0].pdg_id": "e[0].pdgid",
    }
    for one, other in pairs.items():
        values = parse(one).evaluate(variables)
        np.testing.assert_array_equal(values, parse(other).evaluate(variables))


def test_angles_are_between_minus_pi_and_pi():
    pair = [
        {"px": -1.0, "py": -0.0, "pz": 0.0, "E": 1.0},
        {"px": 1.0, "py": 0.0, "pz": 0.0, "E": 1},
    ]
    variables = {"j": ak.Array([pair], with_name="Momentum4D")}
    for text in ("j[0].phi", "j[0].deltaphi(j[1])", "j[1].deltaphi(j[0])"):
        np.testing.assert_array_equal(parse(text).evaluate(variables), [np.pi])


def test_boost_to_com_is_to_the_rest_frame_of_all(sample):
    variables = columns(sample)
    np.testing.assert_allclose(parse("boost_to_com(all).p").evaluate(variables), 0.0, atol=1e-9)
    same = parse("boost_to_com(met + visible).E - all.m").evaluate(variables)
    np.testing.assert_allclose(same, 0.0, atol=1e-6)


def test_variables_have_to_fit():
    expression = parse("x + y", names=["x", "y"])
    with pytest.raises(ExpressionError, match="different numbers of events"):
        expression.evaluate({"x": np.zeros(2), "y": np.zeros(3)})
    with pytest.raises(ExpressionError, match="no value is given for 'y'"):
        expression.evaluate({"x": np.zeros(2)})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not an expression"),
        ("j[0", "never closed"),
        ("\0", "null bytes"),
        ("x = 1", "is not an expression"),
        (
            "jet[0].pt",
            r"'jet' is an unknown name \(known: j, e, mu, a, l, met, visible, all, pi, x",
        ),
        ("p[0].pt", "'p' is an unknown name"),
        ("j[0].ptt", r"unknown attribute 'ptt' \(known: pt,"),
        ("j[0].deltaphi", "unknown attribute"),
        ("j[0].boost(j[1])", "not a method"),
        ("j[0].pt(j[1])", "not a method"),
        ("j[0].deltaR()", "is not a method with one particle"),
        ("j[0].deltaR(1)", "'1' is a number where a particle is needed"),
        ("sinus(x)", r"'sinus' is not a function \(known: abs"),
        ("sqrt", "'sqrt' is an unknown name"),
        ("sqrt(x, x)", "wrong number of arguments"),
        ("min(x)", "wrong number of arguments"),
        ("log(x, base=2)", "keyword argument"),
        ("j", "'j' is a list of particles where a number is needed"),
        ("j[0]", r"'j\[0\]' is a particle where a number is needed"),
        ("j[0] + 1", "is not an operation of a particle and a number"),
        ("j[0] * j[1]", "is not an operation of a particle and a particle"),
        ("1 / j[0]", "is not an operation of a number and a particle"),
        ("not j[0]", "is not an operation of a particle"),
        ("-j", "is not an operation of a list"),
        ("j[0] > j[1]", "is a particle where a number is needed"),
        ("len(met)", "'met' is a particle where a list of particles is needed"),
        ("met[0].pt", "'met' is a particle where a list"),
        ("x.eta", "'x' is a number where a particle is needed"),
        ("(j if x else a)", "is a list of particles where"),
        ("(j[0] if x else 1).pt", "'1' is a number where a particle is needed"),
        ("j[x].pt", "needs a whole number as index"),
        ("j[True].pt", "needs a whole number as index"),
        ("j[:1]", "needs a whole number as index"),
        ("j[0.5].pt", "needs a whole number as index"),
        ("x in j", "unknown comparison"),
        ("x is x", "unknown comparison"),
        ("x & 1", "is not an operation"),
        ("x @ x", "is not an operation"),
        ("~x", "is not an operation"),
        ("None", "not a real number"),
        ("1j", "not a real number"),
        ("float('nan')", "not a real number"),
        ("...", "not a real number"),
        ("1e999", "too large a number"),
        ("1" + "0" * 400, "too large a number"),
        ("x" + " " * 2000, "longer than 2000 characters"),
    ],
)
def test_refused_with_a_reason(text, message):
    with pytest.raises(ExpressionError, match=message):
        parse(text, names=["x"])


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "__import__('os').system('true')",
        "open('x')",
        "print(1)",
        "getattr(j, 'pt')",
        "j.__class__",
        "().__class__",
        "j[0].__class__",
        "j[0].pt.__class__",
        "j[0].__class__()",
        "j[0].to_numpy()",
        "lambda: 0",
        "(lambda: 0)()",
        "[x for x in j]",
        "sum(p.pt for p in j)",
        "{1: 2}",
        "{1, 2}",
        "[1, 2]",
        "(1, 2)",
        "'text'",
        "b'text'",
        "f'{j[0].pt}'",
        "(x := 1)",
        "max(*j)",
        "max(**j)",
        "abs(abs)",
        "(yield)",
        "await x",
        "import os",
        "1; 2",
    ],
)
def test_refused(text):
    with pytest.raises(ExpressionError):
        parse(text)


@pytest.mark.parametrize("count", [150, 450, 10_000])
@pytest.mark.parametrize(
    ("opening", "inner", "closing"),
    [
        ("(" * 3, "1", ")" * 3),
        ("-", "1", ""),
        ("not ", "1", ""),
        ("", "j[0]", ".x"),
        ("", "1", "+1"),
        ("1**", "1", ""),
        ("abs(", "1", ")"),
        ("[", "", "]"),
        ("j[", "0", "]"),
        ("1 if 1 else ", "1", ""),
    ],
)
def test_deep_nesting_is_refused(opening, inner, closing, count):
    with pytest.raises(ExpressionError):
        parse(opening * count + inner + closing * count)


def test_the_deepest_expression_evaluates():
    depth = expressions._MAX_DEPTH - 1
    np.testing.assert_array_equal(parse("1" + "+1" * depth).evaluate({}), [depth + 1.0])


TOKENS = [
    *("j", "e", "l", "met", "all", "pi", "x", "0", "1", "2.5", "-1", "[0]", "[-1]", "[1]", ".pt"),
    *(".e", ".b_tag", ".__class__", ".deltaphi", "(", ")", "+", "-", "*", "/", "%", "**", ","),
    *("<", "==", " and ", " or ", " not ", " if ", " else ", "abs(", "len(", "boost_to_com("),
    *("lambda", ":", ":=", "'", "\n", "\\", " in ", "[", "]", "{", "}", "\ud800", "é", "ａ"),
]


@settings(deadline=None, max_examples=500)
@given(st.one_of(st.text(max_size=50), st.lists(st.sampled_from(TOKENS), max_size=12).map("".join)))
def test_any_text_is_evaluated_or_refused(text):
    try:
        expression = parse(text, names=["x"])
    except ExpressionError as error:
        message, values = str(error), np.zeros(2)
    else:
        message, values = "evaluated", expression.evaluate({"x": np.zeros(2)})
    assert len(message.splitlines()) == 1
    assert values.shape == (2,)
    assert not np.isinf(values).any()


def test_nothing_is_executed():
    tree = ast.parse(inspect.getsource(expressions))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not names & {"eval", "exec", "compile", "__import__", "globals", "locals"}
