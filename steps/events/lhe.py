"""Les Houches Event Files (arXiv:hep-ph/0609017, version 3 weights: arXiv:1405.1067)."""

import gzip
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np
import pylhe

from steps.arrays import Array
from steps.stage.errors import reading

_PROTON = 2212
_PROCESS = 1
_LEFT_HANDED, _RIGHT_HANDED, _SCALAR = -1.0, 1.0, 0.0
_LINE_COLOURS = (501, 502, 501, 502)


@dataclass(frozen=True)
class Weights:
    """Weights of events.

    Attributes:
        values: Weights ``(n, n_benchmarks)`` in pb; a column sums to its cross section.
        names: Names of the benchmarks, in the order of the columns.
        sampled: Name of the benchmark the events were sampled at; its weight is the event weight.
    """

    values: Array
    names: Sequence[str]
    sampled: str


@dataclass(frozen=True)
class Head:
    """What an event file says of all its events.

    Attributes:
        beam_energy: Energy of either proton in GeV.
        cross_section: Cross section at the benchmark sampled at and its standard deviation in pb.
        scale: Scale in GeV at which the shower starts.
        alphas: Electromagnetic and strong coupling.
    """

    beam_energy: float
    cross_section: tuple[float, float]
    scale: float
    alphas: tuple[float, float]


def write(path: Path, pdg_id: Array, momenta: Array, sample: Weights, head: Head) -> None:
    """Write events of two quark lines and one Higgs boson with one weight per benchmark.

    Args:
        path: File to write; compressed when it ends in ``.gz``.
        pdg_id: PDG codes ``(n, 5)``: incoming a, b, outgoing 3 (line of a), 4 (line of b), Higgs.
        momenta: Four-momenta ``(n, 5, 4)`` in GeV, ordered (E, px, py, pz).
        sample: Weights of the events.
        head: What all events share.
    """
    names = [str(name) for name in sample.names]
    column, weights = names.index(sample.sampled), sample.values
    fermion = np.abs(pdg_id) < 25
    spin = np.where(fermion, np.where(pdg_id > 0, _LEFT_HANDED, _RIGHT_HANDED), _SCALAR)
    mass = np.where(fermion, 0.0, _mass(momenta))

    def events() -> Iterator[pylhe.LHEEvent]:
        for i in range(len(pdg_id)):
            particles = [
                _particle(j, int(pdg_id[i, j]), momenta[i, j], mass[i, j], spin[i, j])
                for j in range(5)
            ]
            info = pylhe.LHEEventInfo(
                5, _PROCESS, float(weights[i, column]), head.scale, *head.alphas
            )
            row = dict(zip(names, weights[i].tolist(), strict=True))
            yield pylhe.LHEEvent(info, particles, row)

    energies = (head.beam_energy, head.beam_energy)
    init = pylhe.LHEInitInfo(_PROTON, _PROTON, *energies, 0, 0, 0, 0, 3, 1)
    process = pylhe.LHEProcInfo(*head.cross_section, float(weights[:, column].max()), _PROCESS)
    group = pylhe.LHEInitRWGTWeightGroup(
        "benchmarks", weights=[pylhe.LHEInitRWGTWeight(name, name) for name in names]
    )
    header = pylhe.LHEHeader(pylhe.LHEInitRWGT([group]))
    lhe = pylhe.LHEFile(pylhe.LHEInit(init, [process], []), events(), header)
    with _opened(path) as file:
        lhe.write(file, pylhe.LHEXMLFormat())


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    """Open a file for writing, whose bytes do not tell when or under which name it was written."""
    with path.open("wb") as raw:
        if path.suffix != ".gz":
            with TextIOWrapper(raw, encoding="utf-8") as text:
                yield text
            return
        # Level 1 is as small as the default to a few per cent and several times faster.
        with (
            gzip.GzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0) as compressed,
            TextIOWrapper(compressed, encoding="utf-8") as text,
        ):
            yield text


class WeightsError(Exception):
    """An event file lacks weights; one line."""


def _reading(path: Path) -> AbstractContextManager[None]:
    return reading(path, "an event file", "see the generator's log, and run it again")


def _file(path: Path) -> pylhe.LHEFile:
    with _reading(path):
        return pylhe.LHEFile.fromfile(str(path))


def _events(path: Path, file: pylhe.LHEFile) -> Iterator[pylhe.LHEEvent]:
    """Yield events as they are read, which is where a truncated file ends."""
    with _reading(path):
        yield from file.events


def read_weights(path: Path, names: Sequence[str], sampled: str) -> tuple[Array, float]:
    """Read the weights of benchmarks, which MadGraph's reweighting names as these.

    Args:
        path: Event file.
        names: Names of the benchmarks.
        sampled: Name of the one that the events were sampled at, whose weight is the event's own;
            empty for a background, all of whose weights are.

    Returns:
        Weights ``(n, n_benchmarks)`` in pb, those of ``sampled`` summing to the cross section;
        and that cross section in pb.

    Raises:
        WeightsError: There are no events, or weights are missing or not finite.
    """
    file = _file(path)
    cross_section = sum(process.xSection for process in file.init.procInfo)
    others = [name for name in names if sampled and name != sampled]
    own: list[float] = []
    rows: list[list[float]] = []
    for event in _events(path, file):
        missing = [name for name in others if name not in event.weights]
        if missing:
            raise WeightsError(
                f"no weight of benchmark {missing[0]} in event {len(own) + 1}: the reweighting "
                "failed, or ran without some benchmarks; see its log"
            )
        own.append(event.eventinfo.weight)
        rows.append([event.weights[name] if name in others else own[-1] for name in names])
    weights = np.array(rows, dtype=float).reshape(len(own), len(names))
    if not own or not np.isfinite(weights).all() or sum(own) == 0:
        raise WeightsError("there are no events, or weights that are no numbers")
    # Event weights are in pb, or picobarns times events, as the run card's event_norm has it.
    return weights * (cross_section / sum(own)), cross_section


class Variation(NamedTuple):
    """A version of the weights that MadGraph's module ``systematics`` computes.

    Attributes:
        muf: Factor on the factorisation scale.
        mur: Factor on the renormalisation scale.
        pdf: LHAPDF's number of the parton densities; 0: those of the events.
    """

    muf: float = 1.0
    mur: float = 1.0
    pdf: int = 0


def read_variations(path: Path, wanted: Sequence[Variation]) -> Array:
    """Read the weights of variations, which MadGraph's header describes as MUF, MUR and PDF.

    Args:
        path: Event file.
        wanted: The variations.

    Returns:
        Weights over those of the events themselves, ``(n, len(wanted))``.

    Raises:
        WeightsError: The file does not have a variation.
    """
    file = _file(path)
    initrwgt = getattr(file.header, "initrwgt", None)
    described = [_described(weight) for weight in initrwgt.iter_weights()] if initrwgt else []
    own = int(file.init.initInfo.PDFsetA)
    names = [_named(described, variation, own) for variation in wanted]
    rows: list[list[float]] = []
    for event in _events(path, file):
        nominal = event.eventinfo.weight
        if any(name not in event.weights for name in names if name):
            raise WeightsError(f"no weights of variations in event {len(rows) + 1}")
        rows.append([event.weights[name] / nominal if name else 1.0 for name in names])
    return np.array(rows, dtype=float).reshape(len(rows), len(wanted))


def _described(weight: pylhe.LHEInitRWGTWeight) -> tuple[str, Variation] | None:
    given = {key.upper(): value for key, value in weight.extra_attributes.items()}
    dynamic = given.get("DYN_SCALE", given.get("DYNSCALE", "-1"))
    if not {"MUF", "MUR", "PDF"} <= set(given) or int(dynamic) != -1:
        return None
    return weight.id, Variation(float(given["MUF"]), float(given["MUR"]), int(given["PDF"]))


def _named(described: Sequence[tuple[str, Variation] | None], wanted: Variation, own: int) -> str:
    """Return the name of a variation's weight; empty for the events' own."""
    for name, found in filter(None, described):
        if np.allclose(found[:2], wanted[:2]) and wanted.pdf in (0, found.pdf):
            return name
    if wanted in (Variation(), Variation(pdf=own)):
        return ""
    what = f"MUF={wanted.muf:g}, MUR={wanted.mur:g}" + (f", PDF={wanted.pdf}" * bool(wanted.pdf))
    raise WeightsError(
        f"MadGraph computed no weights with {what}; its module systematics needs LHAPDF with its "
        "Python interface; see its log"
    )


def read_incoming(path: Path) -> tuple[Array, Array]:
    """Read the incoming partons of all events.

    Returns:
        PDG codes and energies in GeV, both ``(n, 2)``.
    """
    codes: list[list[int]] = []
    energies: list[list[float]] = []
    for event in _events(path, _file(path)):
        incoming = [particle for particle in event.particles if particle.status == -1]
        codes.append([int(particle.id) for particle in incoming])
        energies.append([particle.e for particle in incoming])
    return np.array(codes).reshape(-1, 2), np.array(energies).reshape(-1, 2)


def _mass(momenta: Array) -> Array:
    e, px, py, pz = np.moveaxis(momenta, -1, 0)
    mass: Array = np.sqrt(np.maximum(e**2 - px**2 - py**2 - pz**2, 0.0))
    return mass


def _particle(position: int, code: int, p: Array, mass: float, spin: float) -> pylhe.LHEParticle:
    incoming, coloured = position < 2, position < 4
    line = _LINE_COLOURS[position] if coloured else 0
    colours = (line, 0) if code > 0 else (0, line)
    e, px, py, pz = (float(v) for v in p)
    mothers = (0, 0) if incoming else (1, 2)
    status = -1 if incoming else 1
    return pylhe.LHEParticle(
        code, status, *mothers, *colours, px, py, pz, e, float(mass), 0.0, float(spin)
    )
