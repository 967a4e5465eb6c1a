"""Networks of several processes, against densities in closed form."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import onnxruntime
import pytest
import torch

from inference.processes import BENCHMARKS, REGION, Mixture
from inference.toys import Toy
from steps.events import madminer_file
from steps.inference import cross_fitted, samples
from steps.inference.morphing.ensemble import Ensemble
from steps.inference.morphing.exported import Network, export
from steps.inference.morphing.fit import Options, fit
from steps.inference.morphing.loss import Loss, MixtureLoss, Targets
from steps.inference.morphing.networks import Stack
from steps.inference.morphing.processes import ALONE, Part, Processes
from steps.inference.targets import Target

OPTIONS = Options(
    alpha=0.1,
    n_folds=3,
    n_bags=1,
    num_epochs=6,
    batch_size=128,
    n_points=16,
    hidden_layers=(32, 32),
    learning_rate=0.004,
    seed=1,
)
MIXTURE = Mixture()
ZERO = np.zeros((1, 1))


@pytest.fixture(scope="module")
def events():
    return MIXTURE.draw(6000).events()


@pytest.fixture(scope="module")
def trained(events):
    polynomial = MIXTURE.polynomial()
    coefficients = polynomial.coefficients(events["weights"], events["benchmarks"])
    return fit(events["x"], coefficients, polynomial, OPTIONS, part=Part.of(events))[0]


@pytest.fixture(scope="module")
def known(events, trained):
    return cross_fitted.Sample.of(trained, events)


def shares(known):
    """Weights at theta = 0."""
    return known.weights(ZERO)[0]


# ------------------------------------------------------------------ form
def test_what_depends_on_the_parameters_is_seen_from_the_weights(events):
    polynomial = MIXTURE.polynomial()
    coefficients = polynomial.coefficients(events["weights"], BENCHMARKS)
    part = Part.of(events)
    found = Processes.of(polynomial, coefficients, part)
    assert found.dependent == {"signal": True, "background": False}
    assert found.sizes == [3, 1]
    first, second = found.split(coefficients, part)
    assert (first.shape[1], second.shape[1]) == (3, 1)
    np.testing.assert_allclose(found.total([first, second]), coefficients, rtol=1e-5, atol=1e-12)


def test_a_process_alone_has_all_monomials_whatever_its_weights():
    polynomial = MIXTURE.polynomial()
    found = Processes.of(polynomial, np.eye(3)[[0, 0]], Part.alone(2))
    assert found.dependent == {ALONE: True}


def test_the_loss_of_a_mixture_is_the_sum_of_its_processes_and_so_is_its_derivative():
    rng = np.random.default_rng(1)
    processes = Processes(MIXTURE.polynomial(), {"signal": True, "background": False})
    loss, alone = MixtureLoss(processes, 0.3), Loss(processes.polynomial, 0.3)

    def draw(*shape):
        return torch.as_tensor(rng.uniform(0.5, 1.5, shape), dtype=torch.float32)

    entries, given = (
        draw(2, 20, 4).requires_grad_(),
        draw(2, 20, 4) * torch.tensor([3, 0.2, 0.2, 1]),
    )
    targets, at = Targets(given, given.mean(1)), loss.random_points(8)
    total = loss(entries, targets, at)
    signal = alone(entries[..., :3], Targets(given[..., :3], given[..., :3].mean(1)), at)
    rho, estimate = (
        v / given[..., 3].mean(1)[:, None] for v in (given[..., 3], entries[..., 3] ** 2)
    )
    entropy = (rho + 1) * torch.log1p(estimate) - rho * torch.log(estimate)
    torch.testing.assert_close(total, signal + entropy.mean(1))
    total.sum().backward()
    closed = loss.derivative(entries.detach(), targets, at)
    torch.testing.assert_close(closed, entries.grad, rtol=1e-3, atol=1e-5)


def test_a_network_that_sees_no_event_of_a_process_has_a_finite_loss():
    processes = Processes(MIXTURE.polynomial(), {"signal": True, "background": False})
    loss, coefficients = MixtureLoss(processes, 0.1), torch.zeros(1, 5, 4)
    targets, at = Targets(coefficients, coefficients.mean(1)), loss.random_points(4)
    entries = torch.rand(1, 5, 4)
    assert torch.isfinite(loss(entries, targets, at)).all()
    assert torch.isfinite(loss.derivative(entries, targets, at)).all()


# ------------------------------------------------------------------ accuracy
@pytest.mark.parametrize("theta", [-0.6, 0.0, 0.8])
def test_densities_of_each_process_and_of_all_are_those_of_the_closed_form(events, known, theta):
    x = events["x"][:, 0]
    exact, sigma = MIXTURE.total(x, theta), MIXTURE.total(x, 0.0).sum(axis=0)
    monomials = known.events.polynomial.weights(np.array([[theta]]))[0]
    signal = known.events.parts["signal"][0] @ monomials
    background = known.events.parts["background"][0][:, 0]
    total = known.events.densities[0] @ monomials
    weights = shares(known)
    for estimate, right in ((signal, exact[0]), (background, exact[1]), (total, exact.sum(0))):
        # Both relative to the estimate, or truth, of all at theta = 0.
        unit = known.events.densities[0][:, 0]
        error = estimate / unit - right / sigma
        assert np.sqrt(np.average(error**2, weights=weights)) < 0.06


def test_parts_sum_to_the_total_with_the_shares_of_the_cross_section(events, known):
    """At the centre of the region, in every bag."""
    parts, counts = known.events.parts, known.events.multiplicity
    densities = parts["signal"].copy()
    densities[..., :1] += parts["background"]
    np.testing.assert_allclose(densities, known.events.densities, rtol=1e-6)
    weights = shares(known)
    for bag, count in enumerate(counts):
        mean = [np.average(parts[name][bag][:, 0], weights=count) for name in MIXTURE.names]
        wanted = [np.sum((weights * count)[events["processes"] == p]) for p in (0, 1)]
        np.testing.assert_allclose(mean, wanted / np.sum(wanted), rtol=1e-5)


def test_the_norm_of_all_is_one_at_every_point(known):
    ratios = np.exp(known.events.log_ratio(np.linspace(-2, 2, 9)[:, None]))
    np.testing.assert_allclose(ratios.mean(axis=1), 1.0, rtol=1e-6)


# ------------------------------------------------------------------ files
def test_processes_are_saved_and_loaded(tmp_path, events, trained, known):
    trained.save(tmp_path / "networks")
    again = Ensemble.load(tmp_path / "networks")
    assert again.dependent == {"signal": True, "background": False}
    densities = again.events(events["x"]).densities
    np.testing.assert_array_equal(densities, known.events.densities)


def test_exported_networks_are_the_total(events, trained, known):
    rows = slice(0, 50)
    norm = known.events.norms()[0]
    x, theta = events["x"][rows], np.linspace(-1, 1, 50)[:, None]
    model = export(trained, norm, ["t"], ["x"])
    session = onnxruntime.InferenceSession(model.SerializeToString())
    inputs = {"theta": theta.astype(np.float32), "x": x.astype(np.float32)}
    log_ratio, coefficients = session.run(None, inputs)
    # The mean over folds, of events in any fold.
    densities = []
    for number in range(trained.n_folds):
        own = {name: v[[number]] for name, v in trained.stack.arrays().items()}
        one = replace(
            trained,
            stack=Stack.of(own),
            fold=np.zeros(len(events["x"]), dtype=int),
            multiplicity=trained.multiplicity[:1],
        )
        densities.append(one.events(events["x"]).densities[0][rows])
    mean = np.mean(densities, axis=0)
    np.testing.assert_allclose(coefficients, mean, rtol=1e-4, atol=1e-5)
    monomials = trained.polynomial.weights(theta)
    right = np.log((mean * monomials).sum(axis=1)) - np.log(monomials @ norm)
    np.testing.assert_allclose(log_ratio[:, 0], right, rtol=1e-3, atol=1e-4)
    with torch.no_grad():
        columns = torch.as_tensor(np.hstack([theta, x]), dtype=torch.float32)
        torch_ratio = Network(trained, norm)(columns)
    np.testing.assert_allclose(torch_ratio, log_ratio, rtol=1e-3, atol=1e-4)


def test_a_file_tells_which_process_each_event_is_of(tmp_path):
    toy = Toy(1).write(tmp_path, 400)
    path = Path(toy.path)
    assert "processes" not in samples.mixture(toy.path)
    with h5py.File(path, "a") as file:
        sampled = file["samples/sampling_benchmarks"][()]
        sampled[:100] = -1
        file["samples/sampling_benchmarks"][...] = sampled
    processes = madminer_file.read_processes(path)
    assert processes.names == ["signal", "background"]
    np.testing.assert_array_equal(processes.index, sampled < 0)
    of = madminer_file.Processes(
        ["vbf", "ggf", "diphoton"], np.where(sampled < 0, 2, 0), np.arange(len(sampled))
    )
    madminer_file.write_processes(path, of)
    found = samples.mixture(toy.path)
    assert found["process_names"].tolist() == ["vbf", "diphoton"]
    np.testing.assert_array_equal(found["processes"], sampled < 0)
    assert "processes" not in samples.mixture(toy.path, np.arange(100, 200))


def test_training_follows_the_likelihood_with_backgrounds(events):
    target = Target(REGION, np.zeros(1), 200.0, (True,))
    options = replace(OPTIONS, num_epochs=4, n_bags=0)
    model, losses = cross_fitted.train(events, target, options)
    assert np.isfinite(losses).all()
    sample = cross_fitted.Sample.of(model, events)
    (likelihood,) = cross_fitted.likelihoods(
        sample, model.polynomial.region, np.zeros(1), 200.0, with_rate=True
    )
    points = np.linspace(-0.3, 0.3, 13)[:, None]
    found = likelihood(points)
    x, weights = events["x"][:, 0], shares(sample)
    exact = np.array([np.log(MIXTURE.total(x, t).sum(axis=0)) for t in points[:, 0]])
    right = 200.0 * (exact @ weights - sample.weights(points).sum(axis=1))
    q = 2 * (found[6] - found), 2 * (right[6] - right)
    np.testing.assert_allclose(q[0], q[1], atol=0.15 * q[1].max())
