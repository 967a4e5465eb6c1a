"""Observables and cuts in MadMiner's language, evaluated as columns over all events.

MadMiner hands definitions such as ``(j[0] + j[1]).m`` to ``eval()``, once per event. Here a
definition is parsed once, checked against what the language allows, and never executed.

The language knows the lists of particles ``j, e, mu, a, l``, the particles ``met, visible, all``,
numbers with Python's operators (arithmetic, comparisons, ``and``, ``or``, ``not``, ``x if c else
y``), the functions of ``_FUNCTIONS``, ``len(j)``, ``pi``, and particles: ``j[0]``, their sums,
differences and multiples, the properties of ``_PROPERTIES`` and ``_LABELS``, and the methods of
``_METHODS`` with another particle. ``boost_to_com(j[0])`` is the particle in the rest frame of
``all``.

A value is undefined, NaN, in the events in which Python would raise an exception (no such
particle, division by zero, logarithm of a negative number) and where it is not finite. As in
Python, ``and``, ``or`` and ``if`` look only at the operands they need: ``len(j) > 1 and
j[1].pt > 30.`` is false, not undefined, in an event with one jet.
"""

import ast
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial, reduce
from operator import itemgetter
from typing import Any, NamedTuple, NoReturn

import awkward as ak
import numpy as np
import vector
from numpy.typing import NDArray

from steps.arrays import Array

_MAX_LENGTH = 2000
_MAX_DEPTH = 100
_MAX_QUOTE = 60

_LISTS = ("j", "e", "mu", "a", "l")
_PARTICLES = ("met", "visible", "all")
_PROPERTIES = (
    *("pt", "eta", "phi", "m", "mass", "M", "E", "e", "energy", "t"),
    *("px", "py", "pz", "x", "y", "z", "p", "mag", "rho", "pseudorapidity", "rapidity"),
    *("theta", "costheta", "mt", "Mt", "et", "Et", "beta", "gamma"),
    *("pt2", "p2", "mag2", "m2", "M2", "mass2", "mt2", "Mt2", "et2", "Et2"),
)
_LABELS = ("charge", "pdgid", "b_tag", "tau_tag", "t_tag")
_METHODS = ("deltaphi", "deltaeta", "deltaR", "deltaR2", "deltaRapidityPhi", "deltaangle", "dot")
# Names from MadMiner's documentation and from its older releases.
_ALIASES = {"pdg_id": "pdgid", "deltar": "deltaR"}

# What a part of an expression stands for, as messages call it.
_NUMBER, _PARTICLE, _LIST = "a number", "a particle", "a list of particles"

# The rows of a particle column.
_MOMENTUM = ("px", "py", "pz", "E")
_ROWS = _MOMENTUM + _LABELS
_CHARGE, _TAGS = _ROWS.index("charge"), slice(_ROWS.index("b_tag"), None)

_ARITHMETIC = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
}
_UNARY = {ast.USub: np.negative, ast.UAdd: np.positive, ast.Not: np.logical_not}
_COMPARISONS = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}


class ExpressionError(ValueError):
    """An expression is not in the language, or the variables do not fit it."""


@dataclass(frozen=True)
class Expression:
    """A checked expression, made by `parse`."""

    text: str
    _part: "_Part" = field(repr=False, compare=False)

    def evaluate(self, variables: Mapping[str, Any]) -> NDArray[np.float64]:
        """Evaluate the expression in every event.

        Args:
            variables: Values by name. ``j, e, mu, a, l``: jagged arrays ``(n, var)`` of records
                with fields ``px, py, pz, E`` in GeV and optionally ``charge, pdgid, b_tag,
                tau_tag, t_tag``, ordered by falling transverse momentum; ``met, visible, all``:
                arrays ``(n,)`` of such records. A list that is missing is empty in every event; a
                particle or label that is missing is undefined. The names given to `parse`: arrays
                ``(n,)`` or single numbers.

        Returns:
            Values ``(n,)``, NaN where undefined, 1 and 0 for true and false; ``(1,)`` if there are
            only single numbers.

        Raises:
            ExpressionError: The variables differ in length, or a named one is missing.
        """
        sample = _Sample(variables, _count_events(variables))
        return np.array(np.broadcast_to(self._part.value(sample), sample.n_events))


def parse(text: str, names: Collection[str] = ()) -> Expression:
    """Read an expression and check it.

    Args:
        text: Expression, for instance ``j[0].pt > 30. and len(a) >= 2``.
        names: Further variables that stand for numbers. They hide particles of the same name, as
            an observable ``met`` hides the particle in MadMiner's cuts.

    Returns:
        The expression, ready to be evaluated.

    Raises:
        ExpressionError: The text is not an expression, uses something that is not in the
            language, or is too long or too deeply nested.
    """
    if len(text) > _MAX_LENGTH:
        raise ExpressionError(f"{_quote(text)} is longer than {_MAX_LENGTH} characters")
    text = text.strip()
    try:
        # Python warns of what it takes for slips, such as 1[0]; they are refused below.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ExpressionError(f"{_quote(text)} is not an expression: {reason}") from None
    except (MemoryError, RecursionError):
        raise ExpressionError(f"{_quote(text)} is nested too deeply") from None
    return Expression(text, _Translator(text, names).expect(_NUMBER, tree.body))


_Function = Callable[..., Any]


class _Sample(NamedTuple):
    """What an expression is evaluated on."""

    variables: Mapping[str, Any]
    n_events: int


class _Part(NamedTuple):
    """A part of an expression: its kind and its value in a sample.

    Numbers are arrays ``(n,)`` or ``()``, NaN where undefined; particles are arrays ``(9, n)``
    with the rows of ``_ROWS``, NaN in events without the particle; lists are awkward arrays.
    """

    kind: str
    value: Callable[[_Sample], Array | ak.Array]


def _combined(kind: str, function: _Function, *parts: _Part) -> _Part:
    return _Part(kind, lambda sample: function(*(part.value(sample) for part in parts)))


def _calculated(function: _Function, *numbers: _Part) -> _Part:
    return _combined(_NUMBER, partial(_apply, function), *numbers)


class _Translator(ast.NodeVisitor):
    """Turns a syntax tree into functions of the sample; whatever has no method is refused."""

    def __init__(self, text: str, names: Collection[str]) -> None:
        self._text = text
        self._names = names
        self._depth = 0

    def visit(self, node: ast.AST) -> _Part:
        if self._depth >= _MAX_DEPTH:
            raise ExpressionError(f"{_quote(self._text)} is nested more than {_MAX_DEPTH} deep")
        self._depth += 1
        part: _Part = super().visit(node)
        self._depth -= 1
        return part

    def expect(self, kind: str, node: ast.AST) -> _Part:
        """Translate a part that has to be of one kind."""
        part = self.visit(node)
        if part.kind != kind:
            self._refuse(node, f"is {part.kind} where {kind} is needed")
        return part

    def _refuse(self, node: ast.AST, reason: str, *known: str) -> NoReturn:
        part = ast.get_source_segment(self._text, node) or self._text
        listed = f" (known: {', '.join(known)})" if known else ""
        raise ExpressionError(f"{_quote(part)} {reason}{listed}")

    def generic_visit(self, node: ast.AST) -> NoReturn:
        allowed = "numbers, particles, arithmetic, comparisons, and/or/not, if-else, functions"
        self._refuse(node, f"is not allowed (allowed: {allowed})")

    def visit_Constant(self, node: ast.Constant) -> _Part:
        if not isinstance(node.value, bool | int | float):
            self._refuse(node, "is not a real number")
        try:
            number = np.float64(node.value)
        except OverflowError:
            number = np.float64(np.inf)
        if not np.isfinite(number):
            self._refuse(node, "is too large a number")
        return _Part(_NUMBER, lambda sample: number)

    def visit_Name(self, node: ast.Name) -> _Part:
        name = node.id
        if name in self._names:
            return _Part(_NUMBER, lambda sample: _number(sample, name))
        if name in _LISTS:
            return _Part(_LIST, lambda sample: _list(sample, name))
        if name in _PARTICLES:
            return _Part(_PARTICLE, lambda sample: _particle(sample, name))
        if name == "pi":
            return _Part(_NUMBER, lambda sample: np.float64(np.pi))
        self._refuse(node, "is an unknown name", *_LISTS, *_PARTICLES, "pi", *self._names)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> _Part:
        function, operand = _UNARY.get(type(node.op)), self.visit(node.operand)
        if function and operand.kind == _NUMBER:
            return _calculated(function, operand)
        if function is np.negative and operand.kind == _PARTICLE:
            return _combined(_PARTICLE, lambda p: _scale(np.multiply, p, np.float64(-1.0)), operand)
        self._refuse(node, f"is not an operation of {operand.kind}")

    def visit_BinOp(self, node: ast.BinOp) -> _Part:
        function = _ARITHMETIC.get(type(node.op))
        left, right = self.visit(node.left), self.visit(node.right)
        kinds = (left.kind, right.kind)
        if function and kinds == (_NUMBER, _NUMBER):
            return _calculated(function, left, right)
        if function in (np.add, np.subtract) and kinds == (_PARTICLE, _PARTICLE):
            return _combined(_PARTICLE, partial(_add, function), left, right)
        if function in (np.multiply, np.divide) and kinds == (_PARTICLE, _NUMBER):
            return _combined(_PARTICLE, partial(_scale, function), left, right)
        if function is np.multiply and kinds == (_NUMBER, _PARTICLE):
            return _combined(_PARTICLE, partial(_scale, function), right, left)
        self._refuse(node, f"is not an operation of {left.kind} and {right.kind}")

    def visit_BoolOp(self, node: ast.BoolOp) -> _Part:
        operands = [self.expect(_NUMBER, value) for value in node.values]
        return _combined(_NUMBER, _any if isinstance(node.op, ast.Or) else _all, *operands)

    def visit_Compare(self, node: ast.Compare) -> _Part:
        known = [type(operator) for operator in node.ops if type(operator) in _COMPARISONS]
        if len(known) < len(node.ops):
            self._refuse(node, "is an unknown comparison", "<", "<=", ">", ">=", "==", "!=")
        operands = [self.expect(_NUMBER, value) for value in (node.left, *node.comparators)]
        functions = [_COMPARISONS[operator] for operator in known]
        links = map(_calculated, functions, operands[:-1], operands[1:])
        return _combined(_NUMBER, _all, *links)

    def visit_IfExp(self, node: ast.IfExp) -> _Part:
        condition, chosen = self.expect(_NUMBER, node.test), self.visit(node.body)
        if chosen.kind == _LIST:
            self._refuse(node.body, f"is {_LIST} where a number or a particle is needed")
        return _combined(
            chosen.kind, _choose, condition, chosen, self.expect(chosen.kind, node.orelse)
        )

    def visit_Subscript(self, node: ast.Subscript) -> _Part:
        particles = self.expect(_LIST, node.value)
        sign, constant = 1, node.slice
        if isinstance(constant, ast.UnaryOp) and isinstance(constant.op, ast.USub):
            sign, constant = -1, constant.operand
        if not isinstance(constant, ast.Constant) or type(constant.value) is not int:
            self._refuse(node, "needs a whole number as index")
        return _combined(_PARTICLE, partial(_pick, sign * constant.value), particles)

    def visit_Attribute(self, node: ast.Attribute) -> _Part:
        particle = self.expect(_PARTICLE, node.value)
        name = _ALIASES.get(node.attr, node.attr)
        if name in _LABELS:
            return _combined(_NUMBER, itemgetter(_ROWS.index(name)), particle)
        if name in _PROPERTIES:
            return _combined(_NUMBER, partial(_measure, name), particle)
        known = (*_PROPERTIES, *_LABELS, *(f"{method}(particle)" for method in _METHODS))
        self._refuse(node, f"has the unknown attribute {_quote(node.attr)}", *known)

    def visit_Call(self, node: ast.Call) -> _Part:
        if node.keywords:
            self._refuse(node, "has a keyword argument, which is not allowed")
        if isinstance(node.func, ast.Attribute):
            return self._call_method(node, node.func)
        name = node.func.id if isinstance(node.func, ast.Name) else None
        if name not in _FUNCTIONS:
            self._refuse(node.func, "is not a function", *_FUNCTIONS)
        function, counts = _FUNCTIONS[name]
        if len(node.args) not in counts:
            self._refuse(node, "has the wrong number of arguments")
        if name == "len":
            return _combined(_NUMBER, _length, self.expect(_LIST, *node.args))
        if name == "boost_to_com":
            frame = _Part(_PARTICLE, lambda sample: _particle(sample, "all"))
            return _combined(_PARTICLE, _boost, self.expect(_PARTICLE, *node.args), frame)
        return _calculated(function, *(self.expect(_NUMBER, argument) for argument in node.args))

    def _call_method(self, node: ast.Call, function: ast.Attribute) -> _Part:
        name = _ALIASES.get(function.attr, function.attr)
        if name not in _METHODS and not node.args:
            # In older releases of MadMiner some properties were methods: j[0].phi().
            return self.visit(function)
        if name not in _METHODS or len(node.args) != 1:
            self._refuse(node, "is not a method with one particle", *_METHODS)
        particles = [self.expect(_PARTICLE, part) for part in (function.value, *node.args)]
        return _combined(_NUMBER, partial(_measure, name), *particles)


def _quote(text: str) -> str:
    return repr(text if len(text) <= _MAX_QUOTE else text[: _MAX_QUOTE - 3] + "...")


def _apply(function: _Function, *operands: Array | np.float64) -> Array:
    """Apply a function where all operands are defined; a result that is not finite is undefined."""
    with np.errstate(all="ignore"):
        result = np.asarray(function(*operands), dtype=np.float64)
    # A result alone does not tell: NaN**0 is 1.
    defined = reduce(np.logical_and, map(np.isfinite, (result, *operands)))
    return np.where(defined, result, np.nan)


def _choose(condition: Array, chosen: Array, other: Array) -> Array:
    return np.where(np.isnan(condition), np.nan, np.where(condition != 0.0, chosen, other))


def _all(*operands: Array) -> Array:
    return reduce(lambda left, right: _choose(left, right, left), operands)


def _any(*operands: Array) -> Array:
    return reduce(lambda left, right: _choose(left, left, right), operands)


def _logarithm(x: Array, *base: Array) -> Array:
    return _apply(np.divide, _apply(np.log, x), _apply(np.log, *base)) if base else np.log(x)


_SAME_IN_NUMPY = (
    *("abs", "acos", "asin", "atan", "atan2", "ceil", "cos", "cosh", "exp", "floor"),
    *("pow", "sin", "sinh", "sqrt", "tan", "tanh"),
)
_FUNCTIONS = {  # what to apply to numbers, allowed numbers of arguments
    **{name: (getattr(np, name), (getattr(np, name).nin,)) for name in _SAME_IN_NUMPY},
    "bool": (lambda x: x != 0.0, (1,)),
    "float": (np.positive, (1,)),
    "int": (np.trunc, (1,)),
    "log": (_logarithm, (1, 2)),
    "max": (lambda *x: reduce(np.maximum, x), range(2, _MAX_LENGTH)),
    "min": (lambda *x: reduce(np.minimum, x), range(2, _MAX_LENGTH)),
    "len": (None, (1,)),
    "boost_to_com": (None, (1,)),
}


LANGUAGE = {
    "lists of particles": _LISTS,
    "particles": _PARTICLES,
    "properties": _PROPERTIES + _LABELS,
    "methods with another particle": _METHODS,
    "functions": tuple(_FUNCTIONS),
}
"""Every name that expressions know, by its kind; for the documentation."""


def _count_events(variables: Mapping[str, Any]) -> int:
    columns = {k: v for k, v in variables.items() if isinstance(v, ak.Array) or np.ndim(v) > 0}
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ExpressionError(f"the variables have different numbers of events: {lengths}")
    return next(iter(lengths.values()), 1)


def _number(sample: _Sample, name: str) -> Array:
    if name not in sample.variables:
        raise ExpressionError(f"no value is given for {_quote(name)}")
    return _apply(np.positive, np.asarray(sample.variables[name], dtype=np.float64))


def _list(sample: _Sample, name: str) -> ak.Array:
    particles = sample.variables.get(name)
    if particles is None or sample.n_events == 0:
        return ak.unflatten(np.zeros(0), np.zeros(sample.n_events, dtype=np.int64))
    return particles


def _particle(sample: _Sample, name: str) -> Array:
    records = sample.variables.get(name)
    return _column(records, np.full(sample.n_events, records is not None))


def _length(particles: ak.Array) -> Array:
    return np.asarray(ak.num(particles), dtype=np.float64)


def _pick(index: int, particles: ak.Array) -> Array:
    count = _length(particles)
    present = count > index if index >= 0 else count >= -index
    return _column(particles[present][:, index] if present.any() else None, present)


def _column(records: ak.Array | None, present: Array) -> Array:
    """Make a particle column from the records of the events in which it is present."""
    column = np.full((len(_ROWS), present.size), np.nan)
    if records is not None and present.any():
        labels = [name for name in _LABELS if name in ak.fields(records)]
        for name in (*_MOMENTUM, *labels):
            column[_ROWS.index(name), present] = np.asarray(records[name])
    return column


def _add(function: _Function, first: Array, second: Array) -> Array:
    """Add or subtract particles; as in MadMiner so do their charges, and tags of either count."""
    column = np.full_like(first, np.nan)
    column[:4] = _apply(function, first[:4], second[:4])
    column[_CHARGE] = function(first[_CHARGE], second[_CHARGE])
    column[_TAGS] = np.maximum(first[_TAGS], second[_TAGS])
    return column


def _scale(function: _Function, particle: Array, factor: Array | np.float64) -> Array:
    column = np.full_like(particle, np.nan)
    column[:4] = _apply(function, particle[:4], factor)
    return column


def _boost(particle: Array, frame: Array) -> Array:
    with np.errstate(all="ignore"):
        boosted = _vectors(particle).boostCM_of_p4(_vectors(frame))
    return np.stack([*(boosted[name] for name in _MOMENTUM), *particle[4:]])


def _measure(name: str, *particles: Array) -> Array:
    """Take a property of a particle, or the value of its method with another particle."""
    first, *others = map(_vectors, particles)
    with np.errstate(all="ignore"):
        value = getattr(first, name)(*others) if others else getattr(first, name)
    if name in ("phi", "deltaphi"):
        value = np.where(value <= -np.pi, np.pi, value)
    # vector has finite values for undefined momenta, such as theta = 0.
    rows = np.stack([value, *(row for particle in particles for row in particle[:4])])
    return np.where(np.isfinite(rows).all(axis=0), value, np.nan)


def _vectors(particle: Array) -> Any:
    return vector.array(dict(zip(_MOMENTUM, particle, strict=False)))
