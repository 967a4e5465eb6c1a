"""Broken data files are refused in one line, odd ones that are sound are not."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from data_files import N, sound, text, with_systematics, write

from steps.events import data_file
from steps.stage.errors import InputError

Arrays = dict[str, Any]
NAN, INFINITE = float("nan"), float("inf")


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as error:
        data_file.check(path)
    line = str(error.value)
    assert line.startswith(f"{path}: ")
    assert "; " in line
    assert len(line.splitlines()) == 1
    return line.removeprefix(f"{path}: ")


def without(*names: str) -> Callable[[Arrays], Arrays]:
    return lambda arrays: {n: a for n, a in arrays.items() if not n.startswith(names)}


def having(**changes: Any) -> Callable[[Arrays], Arrays]:
    """Arrays by name, ``__`` for a slash."""
    return lambda arrays: arrays | {name.replace("__", "/"): a for name, a in changes.items()}


def at(name: str, place: Any, value: Any) -> Callable[[Arrays], Arrays]:
    def changed(arrays: Arrays) -> Arrays:
        values = np.array(arrays[name])
        values[place] = value
        return arrays | {name: values}

    return changed


def events(chosen: Any) -> Callable[[Arrays], Arrays]:
    """Some of the events."""

    def changed(arrays: Arrays) -> Arrays:
        names = ["observations", "weights", "sampling_benchmarks"]
        some = {f"samples/{n}": arrays[f"samples/{n}"][chosen] for n in names}
        counts = np.array([len(some["samples/weights"]), 0, 0])
        return arrays | some | {"sample_summary/signal_events": counts}

    return changed


BROKEN = [
    (without("parameters", "benchmarks"), "is no MadMiner file; give one that has events"),
    (without("samples", "observables"), "has no events; give the combined file"),
    (without("samples/weights"), "samples/weights: missing"),
    (without("observables/definitions"), "observables/definitions: missing"),
    (without("parameters/transforms"), "parameters/transforms: missing"),
    (without("morphing"), "morphing/components: missing"),
    (without("morphing/morphing_matrix"), "morphing/morphing_matrix: missing"),
    (having(samples__weights=None), "samples/weights: missing"),
    (having(systematics=1), "systematics: is no group"),
    (having(parameters__names=np.arange(1)), "parameters/names: is of type int64"),
    (having(samples__weights=text("a")), r"samples/weights: is of type \|S256"),
    (having(samples__weights=np.ones(N)), r"is of type float64 and shape \(400,\)"),
    (having(samples__weights=np.ones((N, 4))), r"samples/weights: has shape \(400, 4\)"),
    (having(samples__observations=np.ones((N - 1, 2))), r"samples/weights: has shape \(400, 3\)"),
    (having(benchmarks__values=np.ones((3, 2))), "benchmarks/values: has shape"),
    (having(observables__names=text("x", "y", "z")), "has shape"),
    (having(benchmarks__is_nuisance=np.zeros(2, int)), "benchmarks/is_nuisance: has shape"),
    (having(samples__weights=np.ones((N, 3), complex)), "samples/weights: is of type complex128"),
    (at("samples/weights", (5, 1), NAN), r"weights: 1 of 400 events have NaN or infinity \(w\)"),
    (at("samples/weights", (slice(9), 0), INFINITE), r"9 of 400 events .* \(sm\)"),
    (at("samples/observations", (3, 1), NAN), r"observations: 1 of 400 events .* \(y\); drop"),
    (at("samples/observations", 3, -INFINITE), r"1 of 400 events .* \(x, y\)"),
    (at("benchmarks/values", 1, NAN), "benchmarks/values: has NaN"),
    (at("morphing/morphing_matrix", 0, NAN), "morphing/morphing_matrix: has NaN"),
    (having(samples__weights=np.zeros((N, 3))), "cross section at benchmark sm is 0 pb"),
    (at("samples/weights", (slice(None), 1), -1.0), "at benchmark w is -400 pb, which is not pos"),
    (having(samples__weights=np.full((N, 3), 1e308)), "at benchmark sm is inf pb"),
    (having(morphing__morphing_matrix=np.zeros((3, 3))), "does not give the weights at the first"),
    (at("benchmarks/values", 2, 1.0), "does not give the weights at the first 3 benchmarks back"),
    (at("morphing/components", 0, -1), "morphing/components: are no powers from 0 to 20"),
    (at("morphing/components", 0, 10**6), "morphing/components: are no powers"),
    (having(morphing__components=np.zeros((0, 1), int), morphing__morphing_matrix=np.ones((0, 0))),
     "morphing/components: are no powers"),
    (having(benchmarks__is_nuisance=np.array([0, 0, 1])), "3 monomials, but 2 benchmarks"),
    (events(slice(0)), "samples: 0 events, limits take 50 at least"),
    (events(slice(49)), "samples: 49 events, limits take 50 at least; loosen the cuts"),
    (having(observables__names=text("x", "x")), "observables/names: 'x' is there 2 times"),
    (having(benchmarks__names=text("sm", "w", "sm")), "benchmarks/names: 'sm' is there 2 times"),
    (having(observables__names=text("x", "a/b")), "observables/names: 'a/b' is no name"),
    (having(observables__names=text("x", "")), "observables/names: '' is no name"),
    (having(observables__names=text("x", "..")), r"observables/names: '\.\.' is no name"),
    (having(parameters__names=text("a\nb")), r"parameters/names: 'a\\nb' is no name"),
    (having(observables__names=np.array([b"x", b"\xff\xfe"], "S256")), "is no text in UTF-8"),
    (at("samples/sampling_benchmarks", 0, 3), "sampling_benchmarks: are not the numbers of 400"),
    (at("samples/sampling_benchmarks", 0, -2), "sampling_benchmarks: are not the numbers"),
    (having(samples__sampling_benchmarks=np.zeros(7, int)), "are not the numbers of 400 events'"),
    (having(sample_summary__signal_events=np.array([9, 0, 0])), "9 events in other parts than the"),
    (having(sample_summary__signal_events=np.zeros(3, int)), r"0 events .* count again"),
    (without("sample_summary"), "sample_summary/signal_events: missing, or not of all"),
]  # fmt: skip

BROKEN_SYSTEMATICS = [
    (without("nuisance_parameters/systematics"), "nuisance_parameters/systematics: missing beside"),
    (having(nuisance_parameters__names=text("a", "b")), "nuisance_parameters/systematics: has"),
    (having(nuisance_parameters__benchmark_positive=text("no")), "positive: 'no' is no benchmark"),
    (having(nuisance_parameters__benchmark_negative=text("sm")), "negative: 'sm' is no benchmark"),
    (having(nuisance_parameters__names=text("other")), "systematics: does not describe other"),
    (having(benchmarks__is_reference=np.zeros(5, int)), "benchmarks/is_reference: marks none"),
    (at("samples/processes", 0, 2), "samples/processes: some are none of 2"),
    (having(samples__processes=np.zeros(N - 1, int)), "samples/processes: has shape"),
    (having(samples__cross_sections=np.ones((2, 2))), "samples/cross_sections: are not those of"),
    (having(samples__cross_sections=-np.ones((2, 3))), "samples/cross_sections: are not those of"),
    (without("samples/events"), "samples/events: missing beside samples/processes"),
    (without("samples/processes@"), "samples/processes: names: is no list in JSON"),
    (lambda a: a | {"samples/processes@names": "[1"}, "samples/processes: names: is no list"),
    (lambda a: a | {"samples/processes@names": "[" * 10**5}, "names: is no list in JSON"),
    (lambda a: a | {"samples/processes@names": "[1, 2]"}, "samples/processes: names: is no list"),
    (lambda a: a | {"@systematics": "{"}, "systematics: is no list in JSON"),
    (lambda a: a | {"@systematics": '[{"name": "mu"}]'}, "systematics: systematic of an entry is"),
    (without("shifted/jes/up"), "shifted/jes/up/observations: missing"),
    (at("shifted/jes/down/processes", 0, 5), "shifted/jes/down/processes: some are none"),
    (having(shifted__jes__up__events=np.arange(3)), "shifted/jes/up/events: has shape"),
    (at("shifted/jes/up/weights", 0, NAN), "shifted/jes/up/weights: .* no numbers"),
    (having(shifted__jes__up__weights=np.ones((100, 5))), "shifted/jes/up/weights: has shape"),
]


@pytest.mark.parametrize(("change", "expected"), BROKEN)
def test_a_broken_file_is_refused(tmp_path: Path, change, expected: str) -> None:
    assert_refused(write(tmp_path / "data.h5", change(sound())), expected)


@pytest.mark.parametrize(("change", "expected"), BROKEN_SYSTEMATICS)
def test_broken_systematics_are_refused(tmp_path: Path, change, expected: str) -> None:
    assert_refused(write(tmp_path / "data.h5", change(with_systematics())), expected)


def assert_refused(path: Path, expected: str) -> None:
    assert re.search(expected, refusal(path)), refusal(path)


def odd_names(arrays: Arrays) -> Arrays:
    return arrays | {
        "observables/names": text("Δφ jj", "delta phi, 'quoted'; $(x)"),
        "parameters/names": text("c W/ℓ".replace("/", "·")),
        "benchmarks/names": text("SM", "sm", "Sm"),
    }


def many_benchmarks(arrays: Arrays) -> Arrays:
    more = np.linspace(-1, 1, 197)
    z = (arrays["samples/weights"][:, [1]] - arrays["samples/weights"][:, [2]]) * N / 4
    weights = ((1 + z * more) ** 2 + 0.1 * more**2) / N
    return arrays | {
        "benchmarks/names": text("sm", "w", "v", *(f"b{k}" for k in range(197))),
        "benchmarks/values": np.concatenate([arrays["benchmarks/values"], more[:, None]]),
        "benchmarks/is_nuisance": np.zeros(200, int),
        "benchmarks/is_reference": np.eye(200, dtype=int)[0],
        "samples/weights": np.hstack([arrays["samples/weights"], weights]),
        "sample_summary/signal_events": np.eye(200, dtype=int)[0] * N,
    }


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays,
        events(slice(50)),
        at("samples/weights", (0, slice(None)), -1e-4),
        odd_names,
        many_benchmarks,
        without("samples/sampling_benchmarks", "sample_summary"),
        without("benchmarks/is_nuisance", "benchmarks/is_reference"),
        having(samples__sampling_benchmarks=np.array([])),
        lambda arrays: with_systematics(),
    ],
)  # fmt: skip
def test_a_sound_file_passes(tmp_path: Path, change) -> None:
    """Among them single negative weights, 50 events, names that differ by case, 200 benchmarks."""
    data_file.check(write(tmp_path / "data.h5", change(sound())))


@pytest.mark.parametrize("kind", ["nothing", "folder", "empty", "text", "link to nothing"])
def test_what_is_no_file_of_hdf5_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "data.h5"
    match kind:
        case "folder":
            path.mkdir()
        case "empty":
            path.touch()
        case "text":
            path.write_text("a: 1\n" * 1000)
        case "link to nothing":
            path.symlink_to("nowhere")
    assert "cannot be read as a MadMiner file" in refusal(path)


def test_other_hdf5_is_refused(tmp_path: Path) -> None:
    expected = "is no MadMiner file; give one that has events"
    assert refusal(write(tmp_path / "a.h5", {})) == expected
    assert refusal(write(tmp_path / "b.h5", {"x": np.ones(3), "a/b": text("c")})) == expected


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    path = write(tmp_path / "data.h5", sound())
    os.truncate(path, int(share * path.stat().st_size))
    assert "cannot be read as a MadMiner file" in refusal(path)


def test_data_of_other_files_are_refused(tmp_path: Path) -> None:
    """An external dataset would show what is in any file of this machine."""
    (tmp_path / "secret").write_bytes(bytes(N * 2 * 8))
    write(tmp_path / "other.h5", {"x": np.ones((N, 2))})
    name = "samples/observations"

    def made(change: Callable[[h5py.File], None]) -> Path:
        path = write(tmp_path / "data.h5", without(name)(sound()))
        with h5py.File(path, "a") as file:
            change(file)
        return path

    def external(file: h5py.File) -> None:
        segments = [(str(tmp_path / "secret"), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset(name, (N, 2), "f8", external=segments)

    def virtual(file: h5py.File) -> None:
        layout = h5py.VirtualLayout((N, 2), "f8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", shape=(N, 2))
        file.create_virtual_dataset(name, layout)

    def link(file: h5py.File) -> None:
        file[name] = h5py.ExternalLink(str(tmp_path / "other.h5"), "x")

    def soft(file: h5py.File) -> None:
        file[name] = h5py.SoftLink("/samples/weights")

    assert "samples/observations: is kept in other files" in refusal(made(external))
    assert "samples/observations: is kept in other files" in refusal(made(virtual))
    assert "samples/observations: is a link" in refusal(made(link))
    assert "samples/observations: is a link" in refusal(made(soft))


def test_a_dataset_larger_than_its_file_is_refused(tmp_path: Path) -> None:
    """Read, it would take terabytes of memory."""
    many = 10**11
    path = write(tmp_path / "data.h5", without("samples")(sound()))
    with h5py.File(path, "a") as file:
        file.create_dataset("samples/observations", (many, 2), "f8", chunks=(1000, 2))
        options = {"chunks": (1000, 3), "compression": "gzip"}
        file.create_dataset("samples/weights", (many, 3), "f8", **options)
    assert "samples/observations: has shape (100000000000, 2), more than" in refusal(path)


FUZZ = """
import random, resource, sys
from pathlib import Path
from data_files import sound, with_systematics, write
from steps.events import data_file, madminer_file
from steps.stage.errors import InputError

resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30,) * 2)
folder, seed, n = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
files = [write(folder / "good.h5", make()).read_bytes() for make in (sound, with_systematics)]
path, rng, passed = folder / "data.h5", random.Random(seed), 0
for number in range(n):
    content = bytearray(rng.choice(files))
    for _ in range(rng.choice([1, 1, 2, 5, 20])):
        # Most of the structure is in the first bytes and at the end; events are in between.
        place = rng.choice([rng.randrange(len(content)), rng.randrange(3000)])
        size = rng.choice([1, 1, 2, 4, 8, 64])
        new = rng.choice([rng.randbytes(size), bytes(size), b"\\xff" * size])
        content[place : place + size] = new
    path.write_bytes(bytes(content))
    print(number, end=" ", flush=True)
    try:
        data_file.check(path)
    except InputError as error:
        assert len(str(error).splitlines()) == 1
        continue
    passed += 1
    madminer_file.read_setup(path)
    madminer_file.read_weights(path)
    madminer_file.read_processes(path)
    for entry in madminer_file.read_systematics(path):
        if entry.get("form") == "shifted":
            madminer_file.read_shifted(path, entry["systematic"])
    madminer_file.read_responses(path)
print("passed", passed)
"""


@pytest.mark.parametrize("seed", [1, 2])
def test_random_bytes_end_in_one_line_or_are_read(tmp_path: Path, seed: int) -> None:
    """In a process of its own: the HDF5 library may crash on some."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", FUZZ, tmp_path, str(seed), "200"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-300:] + done.stderr
