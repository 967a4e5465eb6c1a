"""Networks for those who have neither MadMiner nor this workflow: ONNX, and torch's exported."""

import json
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from steps.arrays import Array
from steps.inference.morphing.ensemble import Ensemble
from steps.inference.morphing.exported import Network, export
from steps.inference.morphing.features import Features
from steps.inference.morphing.networks import Stack
from steps.inference.morphing.polynomial import Polynomial

KINDS = ["plain", "angle", "positive"]
OBSERVABLES = ["mass", "angle", "momentum"]
PARAMETERS = ["t", "u", "v"]
REGION = [[-0.5, 1.0], [0.0, 3.0], [-20.0, 10.0]]


def powers(p, degree=2):
    """Exponents of all monomials up to a degree."""
    return np.array([e for e in np.ndindex(*(degree + 1,) * p) if sum(e) <= degree])


EXPONENTS = {"one": powers(1), "two": powers(2), "three": powers(3), "quartic": powers(2, 4)}


def observations(n, rng):
    """One observable of each kind; the positive one has values that training had not."""
    x = np.stack(
        [rng.normal(91.0, 2.0, n), rng.uniform(-np.pi, np.pi, n), 30 + rng.exponential(100, n)],
        axis=1,
    )
    x[:2, 2] = [0.0, -1.0]
    return x


def untrained(exponents, n_folds=3, n_bags=1, seed=1):
    """Networks with random weights, far from constant, and a region that is not symmetric."""
    rng = np.random.default_rng(seed)
    p = exponents.shape[1]
    polynomial = Polynomial.of(exponents, REGION[:p])
    k = len(polynomial.amplitude)
    stack = Stack(n_folds * (1 + n_bags), 4, (8, 8), np.zeros(k * (k + 1) // 2))
    stack = Stack.of({name: rng.normal(size=v.shape) for name, v in stack.arrays().items()})
    n = 300
    fold = np.arange(n) % n_folds
    counts = np.ones((1 + n_bags, n), dtype=int)
    features = Features.of(observations(n, rng), KINDS)
    return Ensemble(stack, features, polynomial, np.arange(n), fold, counts)


def judged_by_all(ensemble, x):
    """Densities of new events by the nominal network of each fold, averaged, ``(n, c)``."""
    n_folds, n = ensemble.n_folds, len(x)
    once_per_fold = replace(
        ensemble,
        fold=np.repeat(np.arange(n_folds), n),
        multiplicity=np.ones((len(ensemble.multiplicity), n_folds * n), dtype=int),
    )
    densities = once_per_fold.events(np.tile(x, (n_folds, 1))).densities[0]
    return densities.reshape(n_folds, n, -1).mean(axis=0)


@dataclass(frozen=True)
class Case:
    """New events, each with a parameter point of its own, and what is right for them."""

    ensemble: Ensemble
    norm: Array
    theta: Array
    x: Array
    coefficients: Array
    log_ratio: Array

    @property
    def columns(self):
        return torch.tensor(np.hstack([self.theta, self.x]), dtype=torch.float32)

    def onnx(self):
        names = PARAMETERS[: self.theta.shape[1]]
        return export(self.ensemble, self.norm, names, OBSERVABLES)


@cache
def case(name):
    rng = np.random.default_rng(2)
    ensemble = untrained(EXPONENTS[name])
    polynomial = ensemble.polynomial
    norm = ensemble.events(observations(len(ensemble.fold), rng)).norms()[0]
    x = observations(40, rng)
    theta = rng.uniform(*polynomial.region.T, (len(x), len(polynomial.centre)))
    coefficients, monomials = judged_by_all(ensemble, x), polynomial.weights(theta)
    log_ratio = np.log((monomials * coefficients).sum(axis=1)) - np.log(monomials @ norm)
    return Case(ensemble, norm, theta, x, coefficients, log_ratio[:, None])


def run(model, theta, x):
    """Return log_ratio and coefficients."""
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"theta": np.float32(theta), "x": np.float32(x)})


# ------------------------------------------------------------------ ONNX
@pytest.mark.parametrize("name", EXPONENTS)
def test_onnx_is_the_ensemble(name):
    of = case(name)
    log_ratio, coefficients = run(of.onnx(), of.theta, of.x)
    # Networks that say something.
    assert of.log_ratio.std() > 0.1
    np.testing.assert_allclose(log_ratio, of.log_ratio, rtol=1e-4, atol=1e-5)
    largest = np.abs(of.coefficients).max()
    np.testing.assert_allclose(coefficients, of.coefficients, rtol=1e-4, atol=1e-5 * largest)


@pytest.mark.parametrize("kind", KINDS)
def test_one_observable_of_each_kind(kind):
    of = case("two")
    axis, n = KINDS.index(kind), len(of.ensemble.fold)
    x = observations(n, np.random.default_rng(3))[:, [axis]]
    features = Features.of(x, [kind])
    arrays = of.ensemble.stack.arrays()
    first = {"weights.0": arrays["weights.0"][:, : len(features.mean)]}
    stack = Stack.of(arrays | first)
    ensemble = replace(of.ensemble, stack=stack, features=features)
    _, coefficients = run(
        export(ensemble, of.norm, PARAMETERS[:2], OBSERVABLES[:1]), np.zeros((n, 2)), x
    )
    expected = judged_by_all(ensemble, x)
    np.testing.assert_allclose(coefficients, expected, rtol=1e-4, atol=1e-5 * expected.max())


@pytest.mark.parametrize("name", EXPONENTS)
def test_metadata_tell_all_that_coefficients_need(name):
    """Without any of our modules, from the file alone."""
    of = case(name)
    model = onnx.load_from_string(of.onnx().SerializeToString())
    about = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert about["parameters"] == PARAMETERS[: of.theta.shape[1]]
    assert about["observables"] == OBSERVABLES
    log_ratio, coefficients = run(model, of.theta, of.x)
    u = (of.theta - about["centre"]) / about["reach"]
    monomials = np.stack([np.prod(u ** np.array(e), axis=1) for e in about["exponents"]], axis=1)
    ratio = (monomials * coefficients).sum(axis=1) / (monomials @ about["norm"])
    np.testing.assert_allclose(log_ratio[:, 0], np.log(ratio), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("n", [0, 1, 7])
def test_any_number_of_events_will_do(n):
    of = case("two")
    log_ratio, coefficients = run(of.onnx(), of.theta[:n], of.x[:n])
    assert log_ratio.shape == (n, 1)
    np.testing.assert_allclose(log_ratio, of.log_ratio[:n], rtol=1e-4, atol=1e-5)
    assert coefficients.shape == (n, 6)


@pytest.mark.parametrize("name", EXPONENTS)
def test_onnx_is_valid_and_holds_numbers_alone(name):
    model = case(name).onnx()
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version <= 18) for entry in model.opset_import] == [("", True)]
    assert not model.functions
    assert {node.domain for node in model.graph.node} == {""}
    # Numbers alone, all in the file: nothing that could hold a pickle.
    attributes = [attribute for node in model.graph.node for attribute in node.attribute]
    assert {attribute.type for attribute in attributes} == {onnx.AttributeProto.INT}
    for tensor in model.graph.initializer:
        assert tensor.data_location == tensor.DEFAULT
        assert tensor.data_type in (tensor.FLOAT, tensor.INT64)
    shapes = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    c, p = EXPONENTS[name].shape
    expected = {"theta": ["n", p], "x": ["n", 3], "log_ratio": ["n", 1], "coefficients": ["n", c]}
    assert shapes == expected


def test_the_same_ensemble_gives_the_same_file():
    of = case("three")
    assert of.onnx().SerializeToString() == of.onnx().SerializeToString()


def test_bags_change_nothing():
    """Only the nominal networks are exported."""
    of = case("two")
    arrays = of.ensemble.stack.arrays()
    n_folds = of.ensemble.n_folds
    nominal = Stack.of({name: value[:n_folds] for name, value in arrays.items()})
    alone = replace(of.ensemble, stack=nominal, multiplicity=of.ensemble.multiplicity[:1])
    assert export(alone, of.norm, PARAMETERS[:2], OBSERVABLES) == of.onnx()


# ------------------------------------------------------------------ torch
@pytest.mark.parametrize("name", EXPONENTS)
def test_torch_is_onnx(name):
    of = case(name)
    with torch.no_grad():
        found = Network(of.ensemble, of.norm)(of.columns).numpy()
    np.testing.assert_allclose(found, of.log_ratio, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found, run(of.onnx(), of.theta, of.x)[0], rtol=1e-4, atol=1e-5)


def test_torch_gives_the_score():
    """The derivatives at the centre too, where powers of zero are."""
    of = case("two")
    polynomial = of.ensemble.polynomial
    point = polynomial.centre
    columns = of.columns
    columns[:, :2] = torch.tensor(point)
    columns.requires_grad_()
    (gradient,) = torch.autograd.grad(Network(of.ensemble, of.norm)(columns).sum(), columns)
    at, slopes = polynomial.weights(point[None])[0], polynomial.weight_gradients(point)
    score = (of.coefficients @ slopes.T) / (of.coefficients @ at)[:, None]
    score -= slopes @ of.norm / (at @ of.norm)
    np.testing.assert_allclose(gradient[:, :2], score, rtol=1e-3, atol=1e-4)


def test_torch_exports_it_for_any_number_of_events():
    of = case("three")
    network = Network(of.ensemble, of.norm)
    shapes = [{0: torch.export.Dim("n")}]
    program = torch.export.export(network, (of.columns[:5],), dynamic_shapes=shapes).module()
    for n in (1, 2, 40):
        with torch.no_grad():
            found = program(of.columns[:n]).numpy()
        np.testing.assert_allclose(found, of.log_ratio[:n], rtol=1e-4, atol=1e-5)


def test_mlflow_saves_and_loads_it_without_pickle(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    of = case("two")
    example = of.columns.numpy()
    mlflow.pytorch.save_model(
        Network(of.ensemble, of.norm),
        tmp_path / "model",
        input_example=example[:5],
        pip_requirements=[],
        serialization_format="pt2",
    )
    found = mlflow.pyfunc.load_model(str(tmp_path / "model")).predict(example)
    np.testing.assert_allclose(found, of.log_ratio, rtol=1e-4, atol=1e-5)
