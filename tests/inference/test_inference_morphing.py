"""Networks that know the polynomial, on a toy whose ratio is known in closed form."""

import json
import tarfile

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.chains import Chain
from inference.toys import made
from steps.inference import cross_fitted, samples
from steps.inference.morphing.ensemble import Ensemble
from steps.inference.morphing.features import Features, kind
from steps.inference.morphing.fit import Options, fit
from steps.inference.morphing.polynomial import FormError, Polynomial, monomials
from steps.madminer.events import Events

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
    with pytest.raises(FormError, match="use estimator: parameterized") as error:
        Polynomial.of(np.array(powers), [[-1, 1]] * len(powers[0]))
    assert "\n" not in str(error.value)


def test_weights_that_are_negative_or_no_polynomials_are_refused():
    weights, points = squares(np.random.default_rng(3), 50)
    polynomial = Polynomial.of(QUADRATIC, REGION)
    with pytest.raises(FormError, match="negative"):
        polynomial.coefficients(weights - 2 * weights.mean(), points)
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
    return ensemble, losses, cross_fitted.Sample(ensemble.events(events["x"]), coefficients)


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
    same = np.isclose(other.matrices[0], sample.events.matrices[0]).all(axis=(1, 2))
    np.testing.assert_array_equal(same, ~changed)


def test_likelihood_is_greatest_at_the_truth_and_knows_its_spread(toy, trained):
    _, _, sample = trained
    axis = np.linspace(-1, 1, 9)
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    for truth in ([0.0, 0.0], [0.5, -0.25]):
        made_ = cross_fitted.log_likelihoods(sample, points, truth, 30.0)
        rate = 30.0 * toy.cross_section(truth)
        exact = [rate * np.log(toy.cross_section(p)) - 30.0 * toy.cross_section(p) for p in points]
        total = made_["log_likelihood/kinematics"] + exact
        np.testing.assert_allclose(points[total.argmax()], truth, atol=0.26)
        assert made_["bags/kinematics"].shape == (OPTIONS.n_bags, 81)
        assert 0 < made_["uncertainty/kinematics"] < 1
        assert 0 < made_["uncertainty/with_rate"] < 1


def test_nothing_of_the_size_of_points_times_events_is_needed(trained, monkeypatch):
    _, _, sample = trained
    shares = sample.weights(np.zeros((1, 2)))[0]
    whole = sample.events.expected(POINTS, shares)
    monkeypatch.setattr("steps.inference.morphing.ensemble._MOST_NUMBERS", 1000)
    np.testing.assert_allclose(sample.events.expected(POINTS, shares), whole)
    np.testing.assert_allclose(sample.events.log_ratio(POINTS) @ shares, whole)


def test_networks_survive_their_files_without_pickle(events, trained, tmp_path):
    ensemble, _, sample = trained
    ensemble.save(tmp_path / "alices")
    assert {p.suffix for p in tmp_path.iterdir()} == {".npz", ".json"}
    json.loads((tmp_path / "alices.json").read_text())
    again = Ensemble.load(tmp_path / "alices").events(events["x"])
    np.testing.assert_array_equal(again.matrices, sample.events.matrices)


def test_same_seed_same_networks(events):
    polynomial = Polynomial.of(events["exponents"], REGION)
    coefficients = polynomial.coefficients(events["weights"], events["benchmarks"])
    short = Options(**{**vars(OPTIONS), "num_epochs": 1, "n_bags": 0})
    one, two = (fit(events["x"], coefficients, polynomial, short)[0] for _ in range(2))
    for name, value in one.stack.arrays().items():
        np.testing.assert_array_equal(value, two.stack.arrays()[name])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 3))
def test_forms_are_never_negative(seed, p):
    rng = np.random.default_rng(seed)
    lower = np.tril(rng.normal(size=(5, p + 1, p + 1)))
    m = monomials(rng.uniform(-9, 9, (7, p)), np.vstack([np.zeros((1, p)), np.eye(p)]).astype(int))
    assert (np.einsum("gi,eij,gj->eg", m, lower @ lower.transpose(0, 2, 1), m) >= -1e-9).all()


# ------------------------------------------------------------------ through the stages
def test_stages_make_limits_with_their_uncertainty(toy, tmp_path):
    chain = Chain(toy, tmp_path)
    small = {"n_folds": 2, "n_bags": 3, "hidden_layers": [16], "batch_size": 100}
    chain.write_input(
        ["alices", "sally"],
        estimator="morphing",
        morphing=small,
        evaluating={"luminosity": 20.0},
    )
    folder = chain.run()
    table = yaml.safe_load((folder / "plotting/plots/limits.yml").read_text())
    assert set(table["uncertainty_of_q"]) == {"alices"}
    assert table["uncertainty_of_q"]["alices"]["with_rate"] > 0
    assert len(table["closure"]["alices"]["slope"]) == 5
    # Another method has the estimator that it can have.
    with tarfile.open(folder / "evaluating_sally_0/Results_sally.tar.gz") as archive:
        assert "models/sally/sally_settings.json" in archive.getnames()
    with tarfile.open(folder / "evaluating_alices_0/Results_alices.tar.gz") as archive:
        names = set(archive.getnames())
    assert {"models/alices/alices.npz", "models/alices/alices.json"} <= names
    sample = folder / "sampling/data/Samples_alices_0"
    assert {p.name for p in sample.glob("*.npy")} == {
        f"{name}_alices_events.npy" for name in ("index", "x", "weights", "benchmarks", "exponents")
    }
    # n_samples_train of the chain: as many events are used.
    assert len(np.load(sample / "x_alices_events.npy")) == 1000
