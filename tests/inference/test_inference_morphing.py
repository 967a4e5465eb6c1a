"""Networks that know the polynomial, on a toy whose ratio is known in closed form."""

import json
import tarfile

import h5py
import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.chains import Chain
from inference.toys import Toy, made, quadrature
from steps.inference import cross_fitted, samples
from steps.inference.morphing.ensemble import Ensemble
from steps.inference.morphing.features import Features, kind
from steps.inference.morphing.fit import Options, fit
from steps.inference.morphing.loss import Loss, Targets
from steps.inference.morphing.networks import Stack
from steps.inference.morphing.polynomial import FormError, Polynomial, monomials
from steps.inference.morphing.trainer import clip
from steps.inference.statistics import grid
from steps.madminer.events import Events
from steps.madminer.information import Information
from steps.stage import results

REGION = np.array([[-1.0, 1.0], [-1.0, 1.0]])
QUADRATIC = np.array([[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [2, 0]])
POINTS = np.array([[0.5, 0.0], [0.0, -0.5], [-0.6, 0.4], [0.8, 0.8]])


# ------------------------------------------------------------------ polynomials
def squares(rng, n, exponents=QUADRATIC):
    """Weights |A_0 + theta . A|^2 + |B|^2 at random points, and their points."""
    amplitudes = rng.normal(size=(n, 2, 3))
    points = rng.uniform(-2, 2, (9, 2))
    linear = np.hstack([np.ones((9, 1)), points])
    return ((amplitudes @ linear.T) ** 2).sum(axis=1), points


@pytest.mark.parametrize("reach", [0.1, 1.0, 20.0])
def test_coefficients_give_the_weights_everywhere(reach):
    rng = np.random.default_rng(1)
    weights, points = squares(rng, 50)
    polynomial = Polynomial.of(QUADRATIC, [[-reach, reach], [0.0, reach]])
    coefficients = polynomial.coefficients(weights[:, :7], points[:7])
    np.testing.assert_allclose(
        coefficients @ polynomial.weights(points).T, weights, rtol=1e-6, atol=1e-9
    )


def test_a_mean_matrix_is_the_mean_weight():
    weights, points = squares(np.random.default_rng(2), 200)
    polynomial = Polynomial.of(QUADRATIC, REGION)
    mean = polynomial.coefficients(weights, points).mean(axis=0)
    matrix, m = polynomial.mean_matrix(mean), polynomial.amplitudes(points)
    np.testing.assert_allclose(np.einsum("gi,ij,gj->g", m, matrix, m), weights.mean(axis=0))
    np.testing.assert_array_equal(matrix, matrix.T)


@given(st.integers(1, 4))
def test_any_number_of_parameters_has_amplitudes(p):
    powers = np.array([e for e in np.ndindex(*(3,) * p) if sum(e) <= 2])
    polynomial = Polynomial.of(powers, [[-1, 1]] * p)
    assert polynomial.amplitude.tolist()[0] == [0] * p
    assert len(polynomial.amplitude) == p + 1


def test_quartic_weights_are_squares_of_quadratic_amplitudes():
    powers = np.arange(5)[:, None]
    assert Polynomial.of(powers, [[-1, 1]]).amplitude.ravel().tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "powers", [[[0], [1]], [[0], [1], [2], [3]], [[0, 0], [1, 0], [2, 0], [1, 1]]]
)
def test_weights_that_are_no_squares_are_refused_in_one_line(powers):
    polynomial = Polynomial.of(np.array(powers), [[-1, 1]] * len(powers[0]))
    with pytest.raises(FormError, match="use estimator: parameterized") as error:
        polynomial.check_form(np.ones((5, 3)))
    assert "\n" not in str(error.value)


def test_weights_that_are_negative_or_no_polynomials_are_refused():
    weights, points = squares(np.random.default_rng(3), 50)
    polynomial = Polynomial.of(QUADRATIC, REGION)
    polynomial.check_form(weights)
    # Rounding is forgiven.
    polynomial.check_form(np.vstack([weights, np.full((1, 9), -1e-12)]))
    with pytest.raises(FormError, match="negative"):
        polynomial.check_form(weights - 2 * weights.mean())
    with pytest.raises(FormError, match="no polynomials"):
        polynomial.coefficients(weights**2, points)
    with pytest.raises(FormError, match="5 benchmarks do not fix 6"):
        polynomial.coefficients(weights[:, :5], points[:5])


# ------------------------------------------------------------------ features
def test_kinds_of_observables_are_recognised():
    rng = np.random.default_rng(1)
    assert kind(rng.uniform(-np.pi, np.pi, 5000)) == "angle"
    assert kind(30 + rng.exponential(100, 5000)) == "positive"
    assert kind(rng.normal(size=5000)) == "plain"
    assert kind(rng.uniform(90, 120, 5000)) == "plain"


def test_features_have_unit_width_and_no_cut():
    rng = np.random.default_rng(1)
    x = np.stack([rng.uniform(-np.pi, np.pi, 5000), 30 + rng.exponential(100, 5000)], axis=1)
    features = Features.of(x)
    np.testing.assert_allclose(features(x).mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(features(x).std(axis=0), 1, rtol=1e-4)
    left, right = features(np.array([[-np.pi + 1e-6, 50.0], [np.pi - 1e-6, 50.0]]))
    np.testing.assert_allclose(left, right, atol=1e-4)


# ------------------------------------------------------------------ the loss
def targets(rng, polynomial, n_networks, n):
    weights, points = squares(rng, n_networks * n)
    coefficients = polynomial.coefficients(weights, points).reshape(n_networks, n, -1)
    coefficients = torch.as_tensor(coefficients, dtype=torch.float32)
    return Targets(coefficients, coefficients.mean(1))


def entries(rng, n_networks, n):
    drawn = 0.2 * rng.normal(size=(n_networks, n, 6)) + [1, 0, 1, 0, 0, 1]
    return torch.tensor(drawn, dtype=torch.float32, requires_grad=True)


@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_the_derivative_of_the_loss_is_that_of_automatic_differentiation(alpha):
    rng = np.random.default_rng(5)
    polynomial = Polynomial.of(QUADRATIC, REGION)
    loss, made_ = Loss(polynomial, alpha), entries(rng, 2, 40)
    at, learnt = loss.random_points(8), targets(rng, polynomial, 2, 40)
    loss(made_, learnt, at).sum().backward()
    closed = loss.derivative(made_.detach(), learnt, at)
    np.testing.assert_allclose(closed, made_.grad, rtol=1e-3, atol=1e-5 * closed.abs().max())


def test_the_loss_is_that_of_its_formula():
    """At one point and with matrices: (rho + 1) log(1 + rho') - rho log rho', and the scores."""
    rng = np.random.default_rng(6)
    polynomial = Polynomial.of(QUADRATIC, REGION)
    alices, alice = Loss(polynomial, 0.5), Loss(polynomial, 0.0)
    made_, learnt, at = entries(rng, 1, 30), targets(rng, polynomial, 1, 30), alice.random_points(1)
    lower = np.zeros((30, 3, 3))
    lower[:, *np.tril_indices(3)] = made_.detach()[0]
    density = polynomial.of_matrices(lower @ lower.transpose(0, 2, 1))
    exact = learnt.coefficients[0].numpy()
    p, slopes = at.values[0].numpy(), at.gradients[:, 0].numpy()
    mean = exact.mean(axis=0) @ p
    rho, estimate = exact @ p / mean, density @ p / mean
    entropy = (rho + 1) * np.log(1 + estimate) - rho * np.log(estimate)
    estimated = (density @ slopes.T) / (density @ p)[:, None]
    errors = estimated - (exact @ slopes.T) / (exact @ p)[:, None]
    score = rho * (errors**2).sum(axis=1)
    with torch.no_grad():
        told = [float(loss(made_, learnt, at)) for loss in (alice, alices)]
    assert told == pytest.approx([entropy.mean(), (entropy + score / 2).mean()], rel=1e-4)


def test_joined_stacks_give_what_each_gives_and_copies_are_their_own():
    torch.manual_seed(1)
    one, two = Stack(2, 3, [8], np.ones(6)), Stack(1, 3, [8], np.ones(6))
    x = torch.randn(3, 5, 3)
    joined = Stack.joined([one, two])(x)
    assert torch.equal(joined, torch.cat([one(x[:2]), two(x[2:])]))
    copy = one.copy()
    with torch.no_grad():
        copy.weights[0].zero_()
    assert not torch.equal(copy(x[:2]), one(x[:2]))


# ------------------------------------------------------------------ the estimator
OPTIONS = Options(
    alpha=0.1,
    n_folds=3,
    n_bags=3,
    num_epochs=6,
    batch_size=128,
    n_points=16,
    hidden_layers=(32, 32),
    learning_rate=0.004,
    seed=1,
)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return made(tmp_path_factory, 2, 8_000)


@pytest.fixture(scope="module")
def events(toy):
    return samples.mixture(toy.path)


@pytest.fixture(scope="module")
def trained(events):
    polynomial = Polynomial.of(events["exponents"], REGION)
    coefficients = polynomial.coefficients(events["weights"], events["benchmarks"])
    ensemble, losses = fit(events["x"], coefficients, polynomial, OPTIONS)
    return ensemble, losses, cross_fitted.Sample.of(ensemble, events)


def test_foreign_events_become_those_of_a_mixture(toy, events):
    """Half of the toy's events were drawn at sm, half at w, each half weighted by itself."""
    for name, point in toy.benchmarks.items():
        column = list(toy.benchmarks).index(name)
        total = events["weights"][:, column].sum()
        assert total == pytest.approx(toy.cross_section(point), rel=0.05)
    # No event counts more than those of the mixture's thinnest part.
    own = events["weights"][:, :2] / events["weights"][:, :2].sum(axis=0)
    np.testing.assert_allclose((own * [4000, 4000]).sum(axis=1), 1.0, rtol=0.05)
    weights = events["weights"][:, 0]
    plain = Events(toy.path).weighted("sm")[1]
    assert weights.sum() ** 2 / (weights**2).sum() > plain.sum() ** 2 / (plain**2).sum()


def test_ratios_are_those_of_the_closed_form(toy, events, trained):
    _, losses, sample = trained
    assert losses.shape == (OPTIONS.num_epochs, 2)
    assert losses[-1, 1] < losses[0, 1]
    zero = sample.events.log_ratio(np.zeros((1, 2)))
    shares = sample.weights(np.zeros((1, 2)))[0]
    for point, estimate in zip(POINTS, sample.events.log_ratio(POINTS) - zero, strict=True):
        exact = toy.log_ratio(events["x"], point)
        error = np.sqrt(np.average((estimate - exact) ** 2, weights=shares))
        assert error < 0.25 * exact.std()
        assert np.corrcoef(estimate, exact)[0, 1] > 0.98


def test_the_norm_is_one_at_every_point_and_in_every_bag(trained):
    _, _, sample = trained
    points = np.random.default_rng(4).uniform(-3, 3, (20, 2))
    for bag, counts in enumerate(sample.events.multiplicity):
        ratios = np.exp(sample.events.log_ratio(points, bag))
        np.testing.assert_allclose(ratios @ counts / counts.sum(), 1.0, rtol=1e-9)


def test_no_event_is_judged_by_a_network_that_saw_it(events, trained):
    """Other features in one fold change no other network's training, so they change no others."""
    ensemble, _, sample = trained
    assert set(np.unique(ensemble.fold)) == set(range(OPTIONS.n_folds))
    x = events["x"].copy()
    changed = ensemble.fold == 0
    x[changed] += 1.0
    other = ensemble.events(x)
    same = np.isclose(other.densities[0], sample.events.densities[0]).all(axis=1)
    np.testing.assert_array_equal(same, ~changed)


@pytest.mark.parametrize("truth", [(0.0, 0.0), (0.5, -0.25)])
@pytest.mark.parametrize("with_rate", [True, False])
def test_likelihood_is_that_of_the_closed_form_within_its_spread(toy, trained, truth, with_rate):
    """Against sums over the toy's own events of the exact ratio; greatest at the truth."""
    _, _, sample = trained
    axis = np.linspace(-1, 1, 9)
    points, luminosity = grid([(-1, 1)] * 2, [9, 9]), 30.0
    nominal, *bags = cross_fitted.likelihoods(
        sample, REGION, np.array(truth), luminosity, with_rate=with_rate
    )
    assert len(bags) == OPTIONS.n_bags
    values = np.array([likelihood(points) for likelihood in (nominal, *bags)])
    q = 2 * (values.max(axis=1, keepdims=True) - values)
    x, n = quadrature(toy)
    ratios = np.stack([toy.log_ratio(x, point) for point in [*points, truth]])
    density = n * np.exp(ratios[-1])
    sigma = np.array([toy.cross_section(point) for point in [*points, truth]])
    expected = luminosity * sigma[-1]
    exact = expected * ratios[:-1] @ (density / density.sum())
    if with_rate:
        exact += expected * np.log(sigma[:-1]) - luminosity * sigma[:-1]
    exact = 2 * (exact.max() - exact)
    near = exact < 6
    np.testing.assert_allclose(q[0][near], exact[near], atol=0.5, rtol=0.15)
    np.testing.assert_allclose(points[q[0].argmin()], truth, atol=axis[1] - axis[0] + 1e-9)
    spread = q[1:].std(axis=0, ddof=1)[near]
    assert 0 < spread.max() < 1


def test_scores_are_those_of_the_closed_form(toy, events, trained):
    """At any point: the gradient of the exact log ratio."""
    _, _, sample = trained
    for point in (np.zeros(2), np.array([0.5, -0.25])):
        exact = toy.score(events["x"], point)
        found, shares = sample.events.score(point), sample.weights(point[None])[0]
        for ours, theirs in zip(found.T, exact.T, strict=True):
            error = np.sqrt(np.average((ours - theirs) ** 2, weights=shares))
            assert error < 0.25 * theirs.std()


def test_scores_are_gradients_of_the_ratio(trained):
    _, _, sample = trained
    point, step = np.array([0.3, -0.2]), 1e-4
    for bag in range(1 + OPTIONS.n_bags):
        ends = np.array([point + sign * step * axis for axis in np.eye(2) for sign in (1, -1)])
        up_0, down_0, up_1, down_1 = sample.events.log_ratio(ends, bag)
        numerical = np.stack([up_0 - down_0, up_1 - down_1], axis=-1) / (2 * step)
        # Densities are of single precision.
        np.testing.assert_allclose(sample.events.score(point, bag), numerical, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("point", [(0.0, 0.0), (0.4, 0.3)])
def test_fisher_information_is_that_of_the_closed_form(toy, trained, point):
    """Of the shapes by quadrature of the exact score, of the rate by its polynomial."""
    _, _, sample = trained
    luminosity, theta, step = 30.0, np.array(point), 1e-5
    x, n = quadrature(toy)
    density = n * np.exp(toy.log_ratio(x, theta))
    score = toy.score(x, theta)
    sigma = toy.cross_section(theta)
    slope = np.array(
        [
            (toy.cross_section(theta + axis) - toy.cross_section(theta - axis)) / (2 * step)
            for axis in step * np.eye(2)
        ]
    )
    shapes = sigma * (score * density[:, None]).T @ score / density.sum()
    exact = luminosity * (shapes + np.outer(slope, slope) / sigma)
    found = cross_fitted.information(sample, theta, luminosity)
    assert found.shape == (1 + OPTIONS.n_bags, 2, 2)
    scale = np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
    np.testing.assert_allclose(found / scale, np.array([exact / scale] * len(found)), atol=0.08)
    # As MadMiner has the rate's part.
    theirs = Information(toy.path, theta, luminosity).in_rate()[0]
    ours = luminosity * np.outer(slope, slope) / sigma
    np.testing.assert_allclose(ours, theirs, atol=0.05 * np.abs(theirs).max())


def test_networks_survive_their_files_without_pickle(events, trained, tmp_path):
    ensemble, _, sample = trained
    ensemble.save(tmp_path / "alices")
    assert {p.suffix for p in tmp_path.iterdir()} == {".npz", ".json"}
    json.loads((tmp_path / "alices.json").read_text())
    again = Ensemble.load(tmp_path / "alices").events(events["x"])
    np.testing.assert_array_equal(again.densities, sample.events.densities)


def test_same_seed_same_networks(events):
    polynomial = Polynomial.of(events["exponents"], REGION)
    coefficients = polynomial.coefficients(events["weights"], events["benchmarks"])
    short = Options(**{**vars(OPTIONS), "num_epochs": 1, "n_bags": 0})
    one, two = (fit(events["x"], coefficients, polynomial, short)[0] for _ in range(2))
    for name, value in one.stack.arrays().items():
        np.testing.assert_array_equal(value, two.stack.arrays()[name])


def test_training_ends_where_events_not_seen_no_longer_like_it(events):
    """Of 300 events the networks soon learn by heart; those of the best epoch are kept."""
    few = slice(0, 300)
    polynomial = Polynomial.of(events["exponents"], REGION)
    coefficients = polynomial.coefficients(events["weights"][few], events["benchmarks"])
    options = Options(**{**vars(OPTIONS), "num_epochs": 30, "n_bags": 0})
    calls = []
    x = np.hstack([events["x"][few], np.random.default_rng(1).normal(size=(300, 6))])
    ensemble, losses = fit(x, coefficients, polynomial, options, lambda *told: calls.append(told))
    assert len(losses) < 30
    assert losses[:, 1].argmin() == len(losses) - 1 - 15
    np.testing.assert_array_equal(np.array(calls)[:, 1:], losses)
    assert len(ensemble.stack.weights[0]) == options.n_folds


def test_bags_are_trained_on_their_own_events(events, trained):
    """Each bag's networks are the nominal ones that went on: others, but not far."""
    ensemble, _, _ = trained
    first = ensemble.stack.arrays()["weights.0"].reshape(1 + OPTIONS.n_bags, -1)
    distance = np.linalg.norm(first[1:] - first[0], axis=1) / np.linalg.norm(first[0])
    assert (distance > 1e-3).all()
    assert (distance < 0.5).all()


def test_a_network_with_a_long_gradient_is_held_back_and_no_other():
    short, long = 0.1 * torch.ones(1, 2, 2), 100 * torch.ones(1, 2, 2)
    gradient, bias = torch.cat([short, long]), torch.zeros(2, 1, 2)
    clip([gradient, None, bias])
    assert torch.equal(gradient[:1], short)
    np.testing.assert_allclose(gradient[1].norm(), 1.0, rtol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 3))
def test_forms_are_never_negative(seed, p):
    rng = np.random.default_rng(seed)
    lower = np.tril(rng.normal(size=(5, p + 1, p + 1)))
    m = monomials(rng.uniform(-9, 9, (7, p)), np.vstack([np.zeros((1, p)), np.eye(p)]).astype(int))
    assert (np.einsum("gi,eij,gj->eg", m, lower @ lower.transpose(0, 2, 1), m) >= -1e-9).all()


# ------------------------------------------------------------------ through the stages
@pytest.fixture(scope="module")
def stages(toy, tmp_path_factory):
    """All stages but plotting: two methods, a fifth of the events in each fold."""
    chain = Chain(toy, tmp_path_factory.mktemp("stages"))
    chain.write_input(
        ["alices", "sally"],
        estimator="morphing",
        morphing={"n_bags": 3, "hidden_layers": [16], "batch_size": 100},
        evaluating={"luminosity": 20.0},
        fisher_information={
            "bool": True,
            "observable": "x0",
            "histogram_bins": [-3.0, -1.0, 1.0, 3.0],
            "theta_true": [0.0, 0.0],
        },
    )
    return chain, chain.run(plots=False)


def test_stages_make_limits_with_their_uncertainty(stages):
    _, folder = stages
    arrays = results.read(folder / "evaluating_alices_0/results.h5")
    for name in ("kinematics", "with_rate"):
        assert arrays[f"log_likelihood/{name}"].shape == (35,)
        assert arrays[f"uncertainty/{name}"].shape == (35,)
        assert arrays[f"uncertainty/{name}"].max() > 0
        assert [key for key in arrays if key.startswith(f"intervals/{name}/")]
    assert arrays["closure/slope"].shape == (5,)
    assert arrays["fisher/alices"].shape == (2, 2)
    assert (arrays["fisher_error/alices"] > 0).all()
    reference = results.read(folder / "reference/reference.h5")
    for name in (name for name in reference if name.startswith("expectation/")):
        # Of a thousand events their number is known to a few per cent.
        rtol = 0.05 if name == "expectation/n_expected" else 0.0
        np.testing.assert_allclose(arrays[name], reference[name], rtol=rtol)


def test_stages_give_each_method_the_estimator_that_it_can_have(stages):
    _, folder = stages
    with tarfile.open(folder / "evaluating_sally_0/Results_sally.tar.gz") as archive:
        assert "models/sally/sally_settings.json" in archive.getnames()
    with tarfile.open(folder / "evaluating_alices_0/Results_alices.tar.gz") as archive:
        names = set(archive.getnames())
    ends = ("npz", "json", "onnx")
    assert {f"models/alices/alices.{end}" for end in ends} <= names


def test_stages_train_on_events_as_they_are(stages):
    chain, _ = stages
    assert {p.name for p in chain.sample("alices").glob("*.npy")} == {
        f"{name}_alices_events.npy" for name in ("index", "x", "weights", "benchmarks", "exponents")
    }
    about = yaml.safe_load((chain.sample("alices") / "sample.yml").read_text())
    assert about["parameters"] == ["t0", "t1"]
    assert about["observables"] == ["x0", "x1"]
    region = results.read(chain.reference)["expectation/region"]
    assert about["expectation"] == {
        "region": region.tolist(),
        "theta_true": [0.0, 0.0],
        "luminosity": 20.0,
        "rates": [True, False],
    }
    assert about["n_events"] == 1000


def test_four_parameters_need_no_grid(tmp_path):
    """The toy's two, and two that nothing depends on: their intervals reach the edges."""
    toy = Toy(2).write(tmp_path, 2000)
    with h5py.File(toy.path, "a") as file:
        for name, values in list(file["parameters"].items()):
            _exchange(file, f"parameters/{name}", np.concatenate([values[()]] * 2))
        _exchange(file, "parameters/names", np.array([b"t0", b"t1", b"t2", b"t3"]))
        for name in ("benchmarks/values", "morphing/components"):
            values = file[name][()]
            _exchange(file, name, np.hstack([values, 0 * values]))
    chain = Chain(toy, tmp_path)
    prior = {"prior_shape": "flat", "prior_param_0": -1.0, "prior_param_1": 1.0}
    chain.write_input(
        ["alices"],
        asymptotic_limits={
            "region": {f"theta_{k}": {"min": -1.0, "max": 1.0} for k in range(4)},
            "resolutions": [3] * 4,
            "theta_true": [0.0] * 4,
        },
        morphing={"n_bags": 0, "hidden_layers": [16]},
        evaluating={"luminosity": 20.0},
        include_xsec=[True],
        alices={
            "theta_0": {
                "sampling_method": "random_morphing_points",
                "sampling_number": 5,
                "prior": [{f"parameter_{k}": prior} for k in range(4)],
            },
            "theta_1": {"sampling_method": "benchmark", "sampling_arg": "sm"},
        },
    )
    folder = chain.run()
    table = yaml.safe_load((folder / "plotting/plots/limits.yml").read_text())
    intervals = table["limits"]["ALICES"]["intervals"]
    assert list(intervals) == ["t0", "t1", "t2", "t3"]
    for name in ("t2", "t3"):
        (piece,) = intervals[name]["others profiled"]["68 % CL"]
        assert (piece["low"], piece["high"]) == (-1, 1)


def _exchange(file, name, values):
    del file[name]
    file[name] = values
