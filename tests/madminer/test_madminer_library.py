"""The one adapter to MadMiner, and what it mends; each fault is there without the mend."""

import ast
import json
import pickle
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from data_files import sound, text, write
from inference.toys import draw, fit
from madminer.limits import AsymptoticLimits

from steps.events import madminer_file
from steps.inference import networks
from steps.inference.methods import METHODS
from steps.inference.statistics import grid
from steps.madminer import library
from steps.madminer.estimator import Estimator
from steps.madminer.information import Information
from steps.madminer.library import (
    DataAnalyzer,
    FisherInformation,
    LikelihoodEstimator,
    MadMiner,
    ParameterizedRatioEstimator,
    SampleAugmenter,
    ScoreEstimator,
    Trainer,
    histo,
)
from steps.madminer.setup import load_setup

STEPS = Path(__file__).parents[2] / "steps"
MODULES = {path.relative_to(STEPS).as_posix(): path for path in STEPS.rglob("*.py")}


def test_private_names_of_madminer_are_used_in_the_adapter_alone():
    """tests/architecture sees to it that no other module imports MadMiner."""
    classes = (
        *(AsymptoticLimits, DataAnalyzer, FisherInformation, MadMiner, SampleAugmenter),
        *(LikelihoodEstimator, ParameterizedRatioEstimator, ScoreEstimator, Trainer),
    )
    private = {name for cls in classes for name in dir(cls) if re.match("_[a-z]", name)}
    assert {"_get_theta_value", "_calculate_xsecs", "_transform_inputs"} <= private
    for name, path in MODULES.items():
        nodes = list(ast.walk(ast.parse(path.read_text())))
        attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
        own = {node.attr for node in attributes if getattr(node.value, "id", "") == "self"}
        own |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
        foreign = {node.attr for node in attributes} & private - own
        assert name.startswith("madminer/") or not foreign, (name, foreign)


@pytest.fixture
def one_more(small, tmp_path):
    """The small toy with one benchmark more than its morphing basis, where the first one is."""
    shutil.copyfile(small.path, tmp_path / "more.h5")
    with h5py.File(tmp_path / "more.h5", "a") as file:
        for name in ("names", "values", "is_nuisance", "is_reference"):
            column = file[f"benchmarks/{name}"][()]
            column = np.concatenate([column, column[:1] if name != "names" else [b"x"]])
            del file[f"benchmarks/{name}"]
            file[f"benchmarks/{name}"] = column.astype("S256") if name == "names" else column
        weights = file["samples/weights"][()]
        del file["samples/weights"]
        file["samples/weights"] = np.hstack([weights, weights[:, :1]])
    return str(tmp_path / "more.h5")


def test_fisher_information_takes_a_benchmark_outside_the_basis(small, one_more):
    def in_rate(of, path):
        fisher = of(path, include_nuisance_parameters=False)
        return fisher.rate_information(np.zeros(2), 1e4, include_nuisance_parameters=False)

    with pytest.raises(ValueError, match="broadcast"):
        in_rate(library._FisherInformation, one_more)
    for few, many, own in zip(
        in_rate(FisherInformation, small.path),
        in_rate(FisherInformation, one_more),
        in_rate(library._FisherInformation, small.path),
        strict=True,
    ):
        np.testing.assert_array_equal(few, own)
        np.testing.assert_allclose(many, few, rtol=1e-9)


def test_fault_4_histogram_limits_run_only_with_the_mend(small, monkeypatch):
    points = grid([(-1.0, 1.0), (-1.0, 1.0)], (3, 3))
    limits = AsymptoticLimits(small.path)

    def histogram_limits():
        return limits.expected_limits(
            mode="histo",
            hist_vars=["x0"],
            theta_true=np.array([0.6, -0.3]),
            thetas_eval=points,
            grid_resolutions=None,
            luminosity=100.0,
            n_histo_toys=1000,
            n_binning_toys=1000,
            return_histos=False,
        )[3]

    assert np.isfinite(histogram_limits()).all()
    monkeypatch.setattr(histo, "np", np)
    with pytest.raises(TypeError, match="normed"):
        histogram_limits()


def test_fault_4_mended_histogram_counts_as_numpy_does():
    x = np.array([[0.5], [1.5], [1.7]])
    counted, _ = histo.np.histogramdd(x, bins=[[0, 1, 2]], normed=False, weights=[1, 2, 3])
    np.testing.assert_array_equal(counted, [1, 5])
    density, _ = histo.np.histogramdd(x, bins=[[0, 1, 2]], normed=True)
    np.testing.assert_allclose(density, [1 / 3, 2 / 3])
    assert histo.np.log is np.log


@pytest.mark.parametrize("size", [7, 10, 1000])
def test_batches_hold_every_event_once_in_another_order_each_time(size):
    torch.manual_seed(1)
    columns = torch.arange(50.0)[:, None], -torch.arange(50.0)
    batches = library._Batches(columns, size)
    orders = []
    for _ in range(2):
        parts = list(batches)
        assert len(parts) == len(batches) == -(-50 // size)
        assert {len(x) for x, _ in parts[:-1]} <= {size}
        x, y = (torch.cat(column) for column in zip(*parts, strict=True))
        np.testing.assert_array_equal(x[:, 0], -y)
        orders.append(y)
        np.testing.assert_array_equal(np.sort(x[:, 0]), np.arange(50))
    assert not torch.equal(*orders)


def overtrained(line):
    """Train on 100 events until the validation loss has risen: losses, loss of what is kept."""
    training = draw(line, "sally", n=100)
    validation = draw(line, "sally", n=1000, partition="validation")
    torch.manual_seed(1)
    settings = fit(num_epochs=40, batch_size=100, learning_rate=0.01, final_learning_rate=0.01)
    # Labels that no observable explains: the less is learnt the better.
    rng = np.random.default_rng(1)
    training["t_xz"] = rng.normal(size=training["t_xz"].shape).astype(np.float32)
    method = METHODS["sally"]
    model, losses = networks.train(method, "parameterized", (training, validation), settings)
    kept = np.mean((model.score(validation["x"], 1) - validation["t_xz"]) ** 2)
    return losses[:, 1], kept


def test_the_best_network_is_kept_not_the_last(line):
    losses, kept = overtrained(line)
    assert losses.argmin() < len(losses) - 1
    assert losses[-1] > 1.05 * losses.min()
    assert kept == pytest.approx(losses.min(), rel=1e-5)


def test_madminer_itself_keeps_the_last(line, monkeypatch):
    monkeypatch.setattr(Trainer, "check_early_stopping", library._original_check)
    losses, kept = overtrained(line)
    assert losses[-1] > 1.05 * losses.min()
    assert kept == pytest.approx(losses[-1], rel=1e-5)


# ------------------------------------------------------------------ systematic uncertainties
def test_systematics_of_every_type_survive_their_file(tmp_path):
    miner = MadMiner()
    miner.add_parameter("dim6", 2, "C", parameter_range=(-1.0, 1.0))
    miner.add_benchmark({"C": 0.0}, "sm")
    miner.add_systematics("norm", norm_variation=1.2)
    miner.add_systematics("norm", "lumi", norm_variation=1.02)
    miner.add_systematics("norm", norm_variation=1.3)
    miner.add_systematics("pdf", pdf_variation="CT10")
    miner.add_systematics("scale", scale="muf", scale_variations=(0.5, 1.0, 2.0))
    miner.save(str(tmp_path / "setup.h5"))
    read = MadMiner()
    read.load(str(tmp_path / "setup.h5"))
    found = {name: (of.value, of.scale) for name, of in read.systematics.items()}
    assert {name: value for name, (value, _) in found.items()} == {
        "norm_0": 1.2,
        "lumi": 1.02,
        "norm_1": 1.3,
        "pdf_0": "CT10",
        "scale_0": "0.5,1.0,2.0",
    }
    assert [scale for _, scale in found.values()] == [None] * 4 + ["muf"]


@pytest.fixture
def with_nuisance(small, tmp_path):
    """The small toy with one nuisance parameter, which scales all weights by 1.1."""
    path = tmp_path / "nuisance.h5"
    shutil.copyfile(small.path, path)
    entry = {"name": "xsec", "systematic": "xsec", "form": "one-sided", "type": "norm"}
    with h5py.File(path) as file:
        n = len(file["samples/weights"])
    madminer_file.write_systematics(path, [entry], np.full((n, 1, 2), np.log(1.1)))
    return path


def test_a_file_with_nuisance_parameters_opens_without_them(small, with_nuisance):
    plain, cut = (
        DataAnalyzer(str(path), include_nuisance_parameters=False)
        for path in (small.path, with_nuisance)
    )
    assert cut.n_nuisance_parameters == 0
    for theta in ("sm", np.array([0.3] * plain.n_parameters)):
        assert cut.xsecs([theta])[0] == pytest.approx(plain.xsecs([theta])[0])
    whole = DataAnalyzer(str(with_nuisance), include_nuisance_parameters=True)
    point = np.zeros(plain.n_parameters)
    up, nominal = (whole.xsecs([point], nus=[np.array([nu])])[0] for nu in (1.0, 0.0))
    assert up == pytest.approx(1.1 * nominal)


def test_without_the_mends_madminer_cannot(with_nuisance, tmp_path, monkeypatch):
    monkeypatch.setattr(library.dataanalyzer, "load_madminer_settings", library._original_load)
    with pytest.raises(ValueError, match="is not in list"):
        DataAnalyzer(str(with_nuisance), include_nuisance_parameters=False)
    miner = MadMiner()
    miner.add_parameter("dim6", 2, "C", parameter_range=(-1.0, 1.0))
    miner.add_benchmark({"C": 0.0}, "sm")
    miner.add_systematics("norm", norm_variation=1.2)
    monkeypatch.setattr(library.setups, "save_madminer_settings", library._original_save)
    with pytest.raises(AttributeError, match="value"):
        miner.save(str(tmp_path / "setup.h5"))


# -------------------------------------------------------------- files of somebody else run no code
class _Stolen:
    """What creates a file where it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self):
        return Path.touch, (self.place,)


def _saved(folder: Path) -> Path:
    """A network as MadMiner saves it."""
    x = np.zeros((4, 2))
    model = ScoreEstimator(n_hidden=(3,))
    model.n_observables, model.n_parameters = 2, 1
    model.initialize_input_transform(x)
    model._create_model()
    model.save(str(folder / "sally"))
    Estimator.load(folder / "sally", "score")
    return folder / "sally"


@pytest.mark.parametrize("forced", ["0", "1"])
def test_a_pickled_network_is_refused(tmp_path, monkeypatch, forced):
    path = _saved(tmp_path)
    torch.save(_Stolen(tmp_path / "stolen"), f"{path}_state_dict.pt")
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", forced)
    with pytest.raises(pickle.UnpicklingError):
        Estimator.load(path, "score")
    assert not (tmp_path / "stolen").exists()
    torch.load(f"{path}_state_dict.pt", weights_only=False)
    assert (tmp_path / "stolen").exists()


def test_a_pickled_scaling_is_refused(tmp_path):
    path = _saved(tmp_path)
    np.save(f"{path}_x_means.npy", np.array([_Stolen(tmp_path / "stolen")], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        Estimator.load(path, "score")
    assert not (tmp_path / "stolen").exists()


@pytest.mark.parametrize("key", ["activation", "features", "n_hidden", "n_observables"])
def test_settings_of_a_network_are_not_evaluated(tmp_path, monkeypatch, key):
    path = _saved(tmp_path)
    monkeypatch.chdir(tmp_path)
    settings = Path(f"{path}_settings.json")
    text = "__import__('pathlib').Path('stolen').touch()"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {key: text}))
    with pytest.raises((ValueError, TypeError)):
        Estimator.load(path, "score")
    assert not (tmp_path / "stolen").exists()


@pytest.mark.parametrize("name", ["parameters/transforms", "observables/definitions"])
def test_texts_of_a_data_file_are_not_evaluated(line, tmp_path, name):
    path = tmp_path / "data.h5"
    shutil.copyfile(line.path, path)
    code = f"__import__('pathlib').Path({str(tmp_path / 'stolen')!r}).touch()"
    with h5py.File(path, "a") as file:
        file[name][...] = np.array([code.encode()] * len(file[name]), dtype="S256")
    analyzer = DataAnalyzer(str(path))
    load_setup(str(path))
    texts = [parameter.transform for parameter in analyzer.parameters.values()]
    texts += [observable.val_expression for observable in analyzer.observables.values()]
    assert code in texts
    assert not (tmp_path / "stolen").exists()


def test_names_of_observables_are_not_evaluated(line, tmp_path):
    """MadMiner hands an observable's name to Python where it fills a histogram."""
    path = tmp_path / "data.h5"
    shutil.copyfile(line.path, path)
    name = "().__class__; x"
    with h5py.File(path, "a") as file:
        file["observables/names"][...] = np.array([name.encode()], dtype="S256")
    settings = {"observable": name, "histogram_bins": 10, "histogram_range": [-3.0, 3.0]}
    found, own = (
        Information(str(of), np.zeros(1), 1e3).in_histogram(settings | {"observable": one})
        for of, one in ((path, name), (line.path, "x0"))
    )
    np.testing.assert_array_equal(found[0], own[0])


def test_names_in_any_script_are_read(tmp_path):
    """MadMiner reads ASCII alone."""
    names = ["Δφ jj", "delta phi, 'quoted'"]
    arrays = sound() | {"observables/names": text(*names), "parameters/names": text("c₁")}
    path = write(tmp_path / "data.h5", arrays)
    analyzer = DataAnalyzer(str(path))
    assert list(analyzer.observables) == names
    assert list(analyzer.parameters) == ["c₁"]
    settings = {"observable": names[0], "histogram_bins": 4, "histogram_range": [-2.0, 2.0]}
    assert np.isfinite(Information(str(path), np.zeros(1), 1e3).in_histogram(settings)[0]).all()
