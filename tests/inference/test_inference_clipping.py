"""Limits below a cut: exact densities, events that are left out, too few of them, the stages."""

from dataclasses import replace

import numpy as np
import pytest
import yaml
from scipy.stats import norm

from inference.chains import Chain, call
from inference.exact import Many, exact_sample
from inference.toys import made
from steps.inference import clipping, cross_fitted, intervals, judging
from steps.inference.clipping import FEWEST, Cuts
from steps.inference.follow import effective_events
from steps.inference.frames import Frame
from steps.inference.simulation import Simulation
from steps.inference.targets import Target

REGION = np.array([[-1.0, 1.0]] * 2)
LUMINOSITY = 200.0
NAMES = judging.Names(["t0", "t1"], ["x0", "x1"], [])


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """One parameter, x of standard deviation 1.04 at zero."""
    return made(tmp_path_factory, 1, 60_000)


def scanned(toy, rates=(True, False), n_bags=2, luminosity=LUMINOSITY):
    """Exact networks, cut on the size of the first observable."""
    sample, x = exact_sample(toy, n_bags)
    region = REGION[: toy.n_parameters]
    target = Target(region, np.zeros(toy.n_parameters), luminosity, rates)
    frame = Frame(target, [9, 7][: toy.n_parameters])
    case = judging.Case(frame, region, sample.weights, NAMES)
    return clipping.of_networks(sample, np.abs(x[:, 0]), case)


def cuts(values, region=REGION):
    return Cuts.of({"observable": "x0", "values": values}, region)


# ------------------------------------------------------------------ closed form
def truncated(toy, theta, cut, n=20_001):
    """p(x|theta) on a fine grid of |x| < cut, in pb, by the formula of the toy."""
    x = np.linspace(-cut, cut, n)
    spread = np.sqrt(1 + toy.noise**2)
    at_zero = norm.pdf(x, scale=spread)
    density = np.exp(toy.log_ratio(x[:, None], [theta])) * toy.cross_section([theta]) * at_zero
    return density, x[1] - x[0]


@pytest.mark.parametrize("cut", [0.6, 1.5])
@pytest.mark.parametrize("with_rate", [True, False])
def test_the_likelihood_is_that_of_the_truncated_density(toy, cut, with_rate):
    likelihood = scanned(toy).below(cut)["with_rate" if with_rate else "kinematics"][0]
    points = np.linspace(-0.9, 0.9, 7)
    at_truth, step = truncated(toy, 0.0, cut)
    n = LUMINOSITY * at_truth.sum() * step
    exact = []
    for theta in points:
        density, _ = truncated(toy, theta, cut)
        total = density.sum() * step
        exact.append(LUMINOSITY * at_truth @ np.log(density / total) * step)
        if with_rate:
            exact[-1] += n * np.log(LUMINOSITY * total) - LUMINOSITY * total
    found = likelihood(points[:, None])
    # Relative to the truth, the fourth point; 60 000 events know q to a few per cent.
    q = [-2 * (values - values[3]) for values in (found, np.array(exact))]
    assert q[1].max() > 3
    np.testing.assert_allclose(q[0], q[1], rtol=0.06, atol=0.06)


def test_the_number_of_events_is_that_below_the_cut(toy):
    found = clipping.scan(scanned(toy, rates=[True]), cuts([0.6], REGION[:1]))
    value, error = found["clip/n_expected"][0]
    spread = np.sqrt(1 + toy.noise**2)
    exact = LUMINOSITY * (norm.cdf(0.6 / spread) - norm.cdf(-0.6 / spread))
    assert value == pytest.approx(exact, abs=4 * error)
    assert error < 0.02 * value


# ------------------------------------------------------------------ cuts
def test_a_cut_above_all_events_is_none_bit_for_bit(small):
    events = scanned(small)
    highest = float(events.values.max())
    found = clipping.scan(events, cuts([np.nextafter(highest, np.inf)]))
    for name in ("clip/n_expected", "clip/effective"):
        assert found[name][0].tolist() == found[name][1].tolist()
    of_cut = {k.removeprefix("clip/0/"): v for k, v in found.items() if k.startswith("clip/0/")}
    assert len(of_cut) == 14
    for name, values in of_cut.items():
        np.testing.assert_array_equal(values, found[f"clip/1/{name}"])


def test_no_cut_are_the_limits_of_all_events(small):
    events, target = scanned(small), scanned(small).case.frame.target
    sample, _ = exact_sample(small, 2)
    for name, with_rate in (("with_rate", True), ("kinematics", False)):
        whole = cross_fitted.likelihoods(
            sample, target.region, target.theta_true, target.luminosity, with_rate=with_rate
        )
        for mine, theirs in zip(events.below(np.inf)[name], whole, strict=True):
            points = np.random.default_rng(1).uniform(-1, 1, (20, 2))
            np.testing.assert_array_equal(mine(points), theirs(points))


def test_an_event_at_the_cut_is_left_out(small):
    events = scanned(small)
    cut = float(np.sort(events.values)[1000])
    assert events.kept(cut).sum() == 1000


def test_a_bag_has_the_events_that_it_has_below_the_cut(small):
    events, cut = scanned(small), 0.5
    kept, counts = events.kept(cut), events.multiplicity
    weights = events.case.weights(np.zeros((1, 2)))[0]
    for likelihood, bag in zip(events.below(cut)["with_rate"], counts, strict=True):
        n = LUMINOSITY * (weights * bag)[kept].sum() * len(bag) / bag.sum()
        assert likelihood.counts.sum() == pytest.approx(n)
        assert likelihood.polynomial.weights(np.zeros((1, 2)))[0] @ likelihood.rate == (
            pytest.approx(n)
        )


def test_fewer_events_do_not_shrink_intervals(small):
    """Expected data are the truth's, so that information only is lost."""
    found = clipping.scan(scanned(small), cuts([0.5, 1.0, 2.0]))
    for name in ("with_rate", "kinematics"):
        rows = clipping.read([found], name)
        for number in range(2):
            widths, errors = zip(*(_extent(row.curve, number) for row in rows), strict=True)
            for k in range(3):
                assert widths[k] > widths[k + 1] - 2 * np.hypot(errors[k], errors[k + 1])
            assert widths[0] > 1.2 * widths[-1]


def _extent(curve, number):
    """Width of a 68 % interval and its error, 0 at an edge."""
    pieces = curve.intervals[0].profiled[number].pieces["68"]
    errors = np.nan_to_num([pieces[0].low_error, pieces[-1].high_error])
    return pieces[-1].high - pieces[0].low, np.hypot(*errors)


# ------------------------------------------------------------------ too few, not reliable
def test_too_few_events_are_one_line(small):
    events = scanned(small, rates=[True])
    lowest = np.sort(events.values)
    found = clipping.scan(events, cuts([0.5 * lowest[0], lowest[5], 1.0]))
    assert found["clip/n_expected"][0].tolist() == [0.0, 0.0]
    rows = clipping.read([found], "with_rate")
    for row in rows[:2]:
        assert row.curve is None
        (line,) = row.why
        assert "effective simulated events with x0 below" in line
        assert line.endswith("raise the cut or simulate more events")
    assert rows[2].curve is not None
    table = clipping.table(rows, ["t0", "t1"])
    assert "intervals" not in table[0]
    assert table[0]["reliable"] is False


def test_limits_from_the_fewest_events_are_there_and_judged(small):
    events = scanned(small, rates=[True], n_bags=20, luminosity=1e5)
    order = np.sort(events.values)
    at = next(cut for cut in order[20:] if events.effective(float(cut)) >= FEWEST)
    found = clipping.scan(events, cuts([at]))
    first, last = clipping.read([found], "with_rate")
    assert first.effective == pytest.approx(FEWEST, rel=0.1)
    assert np.isfinite(first.curve.intervals[0].profiled[0].best_fit)
    # Twenty simulated events for more than two hundred expected ones.
    assert first.n_expected[0] > 200
    assert any("uncertain" in line for line in first.why)
    assert last.cut == np.inf


def test_networks_are_not_relied_on_beyond_their_region_of_training(small):
    events = scanned(small, rates=[True])
    trained = np.array([[-0.1, 0.1], [-1.0, 1.0]])
    events = replace(events, case=replace(events.case, trained=trained))
    row, _ = clipping.read([clipping.scan(events, cuts([1.0]))], "with_rate")
    (line,) = row.why
    assert "leaves the region of training in t0; networks are trained where limits with" in line


def test_effective_events_are_those_at_the_truth(small):
    events = scanned(small)
    kept = events.kept(0.7)
    weights = events.case.weights(np.zeros((1, 2)))[0, kept]
    assert events.effective(0.7) == pytest.approx(effective_events(weights))


# ------------------------------------------------------------------ regions
def test_each_cut_is_searched_where_its_likelihood_lives(small):
    wide = scanned(small, rates=[True])
    cut = cuts([1e-6, 0.5, 1.0])
    found = clipping.follow(wide, cut)
    extents = np.ptp(found.regions, axis=2)
    # Too few events: all of the region.
    np.testing.assert_array_equal(found.regions[0], REGION)
    assert (extents[1] >= extents[-1]).all()
    assert (extents[-1] < 2.0).any()
    np.testing.assert_array_equal(found.values, cut.values)
    # The ends are those of the whole region.
    searched, whole = (clipping.scan(wide, each) for each in (found, cut))
    for number in (2, 3):
        pairs = (
            intervals.from_arrays(_part(of, number), "with_rate").profiled
            for of in (searched, whole)
        )
        for a, b in zip(*pairs, strict=True):
            for mine, theirs in zip(a.pieces["68"], b.pieces["68"], strict=True):
                assert [mine.low, mine.high] == pytest.approx([theirs.low, theirs.high], abs=2e-3)


def _part(arrays, number):
    prefix = f"clip/{number}/"
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def test_only_some_likelihoods_say_where(small):
    events = scanned(small)
    sharp, flat = (clipping.follow(events, cuts([1.0]), name) for name in ("with", "kin"))
    assert np.ptp(sharp.regions[0], axis=1).prod() < np.ptp(flat.regions[0], axis=1).prod()


def test_cuts_know_their_like(small):
    mine = cuts([0.5, 1.0])
    found = clipping.scan(replace(scanned(small, rates=[True]), likelihoods=lambda kept: {}), mine)
    assert mine.are_those_of(found)
    assert not cuts([0.5]).are_those_of(found)
    assert not replace(mine, observable="x1").are_those_of(found)
    assert not mine.are_those_of({})


# ------------------------------------------------------------------ several networks
def test_runs_are_averaged_and_their_reasons_joined(small):
    found = clipping.scan(scanned(small, rates=[True]), cuts([1.0]))
    why = {"clip/0/findings/with_rate": np.array([b"bad; mend"])}
    rows = clipping.read([found | why, found], "with_rate")
    assert [row.why for row in rows] == [["bad; mend"], []]
    assert len(rows[0].curve.intervals) == 2
    assert clipping.read([found, {}], "with_rate") == []
    (table, _) = clipping.table(rows, ["t0", "t1"])
    assert table["why"] == ["bad; mend"]
    (piece,) = table["intervals"]["t0"]["68 % CL"]
    (mine,) = intervals.from_arrays(_part(found, 0), "with_rate").profiled[0].pieces["68"]
    assert piece["low"] == pytest.approx(mine.low, abs=1e-4)


def test_four_parameters_have_no_grid(tmp_path):
    sample, x = exact_sample(Many(path="").write(tmp_path, 4_000), n_bags=2)
    region = np.array([[-1.0, 1.0]] * 4)
    frame = Frame(Target(region, np.zeros(4), 300.0, [True]), [5] * 4)
    names = judging.Names(["a", "b", "c", "d"], ["x0"], [])
    case = judging.Case(frame, region, sample.weights, names)
    found = clipping.scan(clipping.of_networks(sample, x[:, 0], case), cuts([1.0], region))
    (first, _) = clipping.table(clipping.read([found], "with_rate"), names.parameters)
    assert set(first["intervals"]) == set(names.parameters)


def test_events_of_a_simulation(small):
    events, _ = exact_sample(small)
    x = np.arange(2 * events.coefficients.shape[0], dtype=float).reshape(-1, 2)
    known = events.events
    simulation = Simulation(x, events.coefficients, known.polynomial, known.multiplicity)
    kept = x[:, 0] < 100
    part = clipping.of_simulation(simulation, kept)
    np.testing.assert_array_equal(part.x, x[kept])
    assert part.multiplicity.shape == (1, 50)
    assert part.coefficients.shape == (50, 6)


# ------------------------------------------------------------------ stages
def _edit(chain, clip):
    path = chain.folder / "input.yml"
    content = yaml.safe_load(path.read_text())
    content["asymptotic_limits"]["clip"] = clip
    path.write_text(yaml.safe_dump(content))


def test_the_stages(small, tmp_path, capsys):
    chain = Chain(small, tmp_path)
    chain.write_input(["alice", "sally"], evaluating={"luminosity": 100})
    _edit(chain, {"observable": "x0", "values": [0.5, 1.5]})
    chain.run()
    table = yaml.safe_load((tmp_path / "plotting" / "plots" / "limits.yml").read_text())
    scan = table["clipping"]
    assert scan.pop("observable") == "x0"
    # Not of MadMiner's networks.
    both = ("histogram of x0", "reference (x0, x1)", "ALICE")
    assert list(scan) == ["rate", *(n + end for n in both for end in ("", " (kinematics)"))]
    assert all([row["below"] for row in rows] == [0.5, 1.5, "no cut"] for rows in scan.values())
    assert (tmp_path / "plotting" / "plots" / "clipping.png").exists()
    # Without a cut they are those that are told anyway.
    for label in ("ALICE", "reference (x0, x1) (kinematics)"):
        whole = table["limits"][label]["intervals"]
        for name in ("t0", "t1"):
            mine = scan[label][-1]["intervals"][name]["68 % CL"]
            theirs = whole[name]["others profiled"]["68 % CL"]
            for a, b in zip(mine, theirs, strict=True):
                assert a["low"] == pytest.approx(b["low"], abs=2e-3)
                assert a["high"] == pytest.approx(b["high"], abs=2e-3)
    # What was made with other cuts does not fit.
    _edit(chain, {"observable": "x0", "values": [0.5, 2.0]})
    data = ("--reference-file", chain.reference, "--data-file", small.path)
    model = ("--model-file", tmp_path / "training_alice_0" / "Model.tar.gz")
    capsys.readouterr()
    with pytest.raises(SystemExit):
        call(chain.stage("evaluating", "other", *model, *data))
    said = capsys.readouterr().err
    assert "reference.h5: asymptotic_limits: clip: other cuts, or none; make it with" in said
