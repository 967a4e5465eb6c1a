"""An ensemble as one function of parameters and observables, for those who have neither.

Events that no network has seen are judged by the mean over folds of the nominal networks' densities
m(theta)^T M(x) m(theta). With N the mean of these over the mixture, log p(x|theta) / p_mix(x) is
log m^T M(x) m - log m^T N m; differences between two theta are log likelihood ratios.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper

from steps.arrays import Array
from steps.inference.morphing.ensemble import Ensemble
from steps.inference.morphing.networks import Stack

# Versions of ONNX of the year 2022, so that older runtimes read the file.
_OPERATORS = 18
_FORMAT = 8
# Densities, about one, are at least that; positive observables likewise.
_TINY = 1e-12
_SMALLEST = 1e-9


class Network(torch.nn.Module):
    """The nominal networks as one function of one matrix, which torch can export.

    Its input ``(n, n_parameters + n_observables)`` has parameters, then observables, unscaled; its
    output is log p(x|theta) / p_mix(x), ``(n, 1)``.
    """

    mean: torch.Tensor
    width: torch.Tensor
    centre: torch.Tensor
    reach: torch.Tensor
    norm: torch.Tensor
    exponents: torch.Tensor
    amplitude: torch.Tensor

    def __init__(self, ensemble: Ensemble, norm: Array) -> None:
        """Wrap an ensemble.

        Args:
            ensemble: The networks.
            norm: Coefficients of their mean density over the mixture, ``(c,)``.
        """
        super().__init__()
        features, polynomial = ensemble.features, ensemble.polynomial
        self._stack, self._processes = Stack.of(_nominal(ensemble)), ensemble.processes
        self._n_folds = ensemble.n_folds
        self._kinds = list(features.kinds)
        numbers = {
            "mean": features.mean,
            "width": features.width,
            "centre": polynomial.centre,
            "reach": polynomial.reach,
            "norm": norm,
        }
        for name, values in numbers.items():
            self.register_buffer(name, torch.as_tensor(values, dtype=torch.float32))
        self.register_buffer("exponents", torch.as_tensor(polynomial.exponents))
        self.register_buffer("amplitude", torch.as_tensor(polynomial.amplitude))

    def forward(self, columns: torch.Tensor) -> torch.Tensor:
        """Evaluate them."""
        n_parameters = len(self.centre)
        scaled = (columns[:, :n_parameters] - self.centre) / self.reach
        features = (self._raw(columns[:, n_parameters:]) - self.mean) / self.width
        entries = self._stack(features.expand(self._n_folds, -1, -1))
        amplitudes = _monomials(scaled, self.amplitude)
        form = torch.zeros(1)
        for lower in self._processes.matrices(entries):
            # The first one is the constant, all that a background has.
            own = amplitudes[:, : lower.shape[-1]]
            projected = torch.einsum("nk,fnkj->fnj", own, lower)
            form = form + (projected * projected).sum(-1).mean(0)
        norm = _monomials(scaled, self.exponents) @ self.norm
        return (torch.log(form.clamp(min=_TINY)) - torch.log(norm))[:, None]

    def _raw(self, x: torch.Tensor) -> torch.Tensor:
        columns: list[torch.Tensor] = []
        for axis, kind in enumerate(self._kinds):
            column = x[:, axis]
            match kind:
                case "angle":
                    columns += [torch.sin(column), torch.cos(column)]
                case "positive":
                    columns.append(torch.log(column.clamp(min=_SMALLEST)))
                case _:
                    columns.append(column)
        return torch.stack(columns, dim=-1)


def export(
    ensemble: Ensemble, norm: Array, parameters: Sequence[str], observables: Sequence[str]
) -> onnx.ModelProto:
    """Return the nominal networks as an ONNX model, which needs nothing of ours, nor torch.

    Its inputs are ``theta`` ``(n, p)`` and ``x`` ``(n, n_observables)``, unscaled; its outputs are
    ``log_ratio``, log p(x|theta) / p_mix(x) ``(n, 1)``, and ``coefficients`` ``(n, c)`` of the
    density's numerator, which depend on ``x`` alone:
    log_ratio = log(P . coefficients) - log(P . norm), where the P are products of powers
    ``exponents`` of (theta - centre) / reach. The model's metadata hold these, and the names, as
    JSON. All numbers are of single precision.

    Args:
        ensemble: The networks.
        norm: Coefficients of their mean density over the mixture, ``(c,)``.
        parameters: Names of the parameters, in the order of ``theta``.
        observables: Names of the observables, in the order of ``x``.
    """
    polynomial, norm = ensemble.polynomial, np.asarray(norm, dtype=float)
    graph = _Graph()
    entries = _entries(graph, ensemble)
    _coefficients(graph, entries, ensemble)
    _log_ratio(graph, entries, ensemble, norm)
    shapes: dict[str, Sequence[str | int]] = {
        "theta": ["n", len(polynomial.centre)],
        "x": ["n", len(ensemble.features.kinds)],
        "log_ratio": ["n", 1],
        "coefficients": ["n", len(polynomial.exponents)],
    }
    theta, x, log_ratio, coefficients = (
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    )
    model = helper.make_model(
        helper.make_graph(
            graph.nodes, "density", [theta, x], [log_ratio, coefficients], graph.constants
        ),
        producer_name="madminer-workflow",
        ir_version=_FORMAT,
        opset_imports=[helper.make_opsetid("", _OPERATORS)],
        doc_string=(
            "log_ratio: log p(x|theta) / p_mix(x); coefficients: of its numerator in monomials of "
            "(theta - centre) / reach with these exponents; norm: of its denominator."
        ),
    )
    about: dict[str, Any] = {
        "parameters": list(parameters),
        "observables": list(observables),
        "exponents": polynomial.exponents.tolist(),
        "centre": polynomial.centre.tolist(),
        "reach": polynomial.reach.tolist(),
        "norm": norm.tolist(),
    }
    helper.set_model_props(model, {name: json.dumps(value) for name, value in about.items()})
    return model


def _nominal(ensemble: Ensemble) -> dict[str, Array]:
    """Return the parameters of the nominal networks, one for each fold."""
    return {name: value[: ensemble.n_folds] for name, value in ensemble.stack.arrays().items()}


def _monomials(scaled: torch.Tensor, exponents: torch.Tensor) -> torch.Tensor:
    """Return products of powers ``(n, c)`` of the columns of scaled parameters ``(n, p)``."""
    return torch.prod(scaled[:, None, :] ** exponents, dim=-1)


class _Graph:
    """Nodes and constants of an ONNX graph; results are known by their names."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(
        self, operator: str, *inputs: str | Array | float, name: str = "", **attributes: Any
    ) -> str:
        """Apply an operator to results and constants; return the name of its result."""
        names = [i if isinstance(i, str) else self._constant(np.asarray(i)) for i in inputs]
        name = name or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, names, [name], **attributes))
        return name

    def columns(self, matrix: str, numbers: Array) -> str:
        """Return columns, along the last axis, by their numbers."""
        return self.add("Gather", matrix, numbers, axis=-1)

    def _constant(self, values: Array) -> str:
        name = f"constant_{len(self.constants)}"
        kept = values.astype(np.float32 if values.dtype.kind == "f" else np.int64)
        self.constants.append(numpy_helper.from_array(kept, name))
        return name


def _entries(graph: _Graph, ensemble: Ensemble) -> str:
    """Add the networks; return the entries of all L(x), row by row, ``(n_folds, n, n_out)``."""
    raw: list[str] = []
    for axis, kind in enumerate(ensemble.features.kinds):
        column = graph.columns("x", np.array([axis]))
        match kind:
            case "angle":
                raw += [graph.add("Sin", column), graph.add("Cos", column)]
            case "positive":
                raw.append(graph.add("Log", graph.add("Max", column, _SMALLEST)))
            case _:
                raw.append(column)
    centred = graph.add("Sub", graph.add("Concat", *raw, axis=-1), ensemble.features.mean)
    values = graph.add("Div", centred, ensemble.features.width)
    arrays = _nominal(ensemble)
    n_layers = len(ensemble.stack.weights)
    for layer in range(n_layers):
        values = graph.add("MatMul", values, arrays[f"weights.{layer}"])
        values = graph.add("Add", values, arrays[f"biases.{layer}"])
        if layer < n_layers - 1:
            values = graph.add("Tanh", values)
    return values


def _coefficients(graph: _Graph, entries: str, ensemble: Ensemble) -> None:
    """Add the coefficients of m^T L L^T m, summed over processes and averaged over folds."""
    k = len(ensemble.polynomial.amplitude)
    rows, columns = _places(ensemble)
    # L L^T sums the products of any two entries of one column of L.
    first, second = np.nonzero(columns[:, None] == columns)
    each = ensemble.polynomial.of_matrices(np.eye(k * k).reshape(-1, k, k))
    products = graph.add("Mul", graph.columns(entries, first), graph.columns(entries, second))
    mean = graph.add("ReduceMean", products, np.array([0]), keepdims=0)
    graph.add("MatMul", mean, each[rows[first] * k + rows[second]], name="coefficients")


def _log_ratio(graph: _Graph, entries: str, ensemble: Ensemble, norm: Array) -> None:
    """Add log |L^T m|^2, averaged over folds, less that of its mean over the mixture.

    A sum of squares has none of the rounding that the sum of coefficients times monomials has.
    """
    polynomial = ensemble.polynomial
    scaled = graph.add("Div", graph.add("Sub", "theta", polynomial.centre), polynomial.reach)
    rows, columns = _places(ensemble)
    amplitudes = graph.columns(_powers(graph, scaled, polynomial.amplitude), rows)
    places = np.eye(columns.max() + 1)[columns]
    projected = graph.add("MatMul", graph.add("Mul", entries, amplitudes), places)
    squares = graph.add("ReduceSumSquare", projected, np.array([-1]), keepdims=1)
    form = graph.add("ReduceMean", squares, np.array([0]), keepdims=0)
    mean = graph.add("MatMul", _powers(graph, scaled, polynomial.exponents), norm[:, None])
    log_form = graph.add("Log", graph.add("Max", form, _TINY))
    graph.add("Sub", log_form, graph.add("Log", mean), name="log_ratio")


def _places(ensemble: Ensemble) -> tuple[Array, Array]:
    """Return row and column of each entry of L(x); no two processes have a column in common."""
    rows, columns, taken = [], [], 0
    for polynomial in ensemble.processes.polynomials:
        # The constant, all that a background has, is the first monomial of all amplitudes.
        row, column = np.tril_indices(len(polynomial.amplitude))
        rows.append(row)
        columns.append(taken + column)
        taken += len(polynomial.amplitude)
    return np.concatenate(rows), np.concatenate(columns)


def _powers(graph: _Graph, scaled: str, exponents: Array) -> str:
    """Add products of powers ``(n, c)`` of the columns of scaled parameters ``(n, p)``."""
    spread = graph.add("Unsqueeze", scaled, np.array([1]))
    return graph.add("ReduceProd", graph.add("Pow", spread, exponents), np.array([-1]), keepdims=0)
