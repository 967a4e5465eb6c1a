"""Parton densities of the proton: sets that Pythia 8 ships, or files in LHAPDF's grid format."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import scipy

from steps.arrays import Array

LIGHT_QUARKS = (1, 2, 3, 4)
_X_MIN = 1e-7
_KNOTS = 2000
# Where LHAPDF, too, looks for folders NAME with NAME.info and NAME_0000.dat, NAME_0001.dat, …
_SEARCH_PATH = "LHAPDF_DATA_PATH"
ERROR_TYPES = ("hessian", "symmhessian", "replicas")


@dataclass(frozen=True)
class PdfSet:
    """A set of parton densities.

    Attributes:
        name: Name, or path of a folder or of one grid file.
        files: Grid files of the central member and of the members for its errors, as Pythia's
            ``LHAGrid1`` takes them.
        error_type: ``hessian`` (pairs of members along each eigenvector), ``symmhessian`` (one
            member each), ``replicas``; empty for a set of one member.
        sigmas: Standard deviations that a member of a Hessian set is away.
        number: LHAPDF's number of the central member, that of others follow; 0: not known.
    """

    name: str
    files: tuple[str, ...]
    error_type: str = ""
    sigmas: float = 1.0
    number: int = 0


def find_set(name: str) -> PdfSet:
    """Find a set by its name, first below ``LHAPDF_DATA_PATH``, then among those Pythia 8 ships.

    Args:
        name: A name; or, with a slash, the path of a set's folder or of one ``.dat`` file.

    Raises:
        ValueError: There is no such set, or its files are not what they should be; one line.
    """
    if name.endswith(".dat"):
        return PdfSet(name, (_checked(str(Path(name).resolve())),))
    for folder in _places(name):
        if folder.is_dir():
            return _of_folder(name, folder.resolve())
    if "/" in name:
        raise ValueError(f"there is no folder {name}")
    return PdfSet(name, (_shipped(name),))


def _places(name: str) -> Iterator[Path]:
    if "/" in name:
        yield Path(name)
        return
    for place in os.environ.get(_SEARCH_PATH, "").split(os.pathsep):
        if place:
            yield Path(place, name)


@cache
def _shipped(name: str) -> str:
    file = f"{name}_0000.dat"
    if _grid(f"LHAGrid1:{file}") is None:
        raise ValueError(
            f"Pythia 8 ships no parton densities named '{name}', nor does "
            f"{_SEARCH_PATH} lead to any"
        )
    return file


def _checked(file: str) -> str:
    if not Path(file).is_file() or _grid(f"LHAGrid1:{file}") is None:
        raise ValueError(f"{file} is no file of parton densities in LHAPDF's format")
    return file


def _of_folder(name: str, folder: Path) -> PdfSet:
    info = folder / f"{folder.name}.info"
    try:
        text = info.read_text(errors="replace")
    except OSError:
        raise ValueError(f"there is no {info}") from None
    count = int(_entry(text, "NumMembers") or 1)
    # Such as "hessian+as": each addition is a pair of members at the end, of other uncertainties.
    error_type, *more = (_entry(text, "ErrorType") or "").lower().split("+")
    if count > 1 and error_type not in ERROR_TYPES:
        raise ValueError(f"{info}: ErrorType is '{error_type}', none of {', '.join(ERROR_TYPES)}")
    level = float(_entry(text, "ErrorConfLevel") or 0.0)
    sigmas = NormalDist().inv_cdf(0.5 + 0.005 * level) if 0 < level < 100 else 1.0
    files = tuple(
        str(folder / f"{folder.name}_{member:04d}.dat") for member in range(count - 2 * len(more))
    )
    for file in files:
        if not Path(file).is_file():
            raise ValueError(f"there is no {file}")
    _checked(files[0])
    number = int(_entry(text, "SetIndex") or 0)
    if len(files) == 1:
        return PdfSet(name, files, number=number)
    return PdfSet(name, files, error_type, 1.0 if error_type == "replicas" else sigmas, number)


def _entry(info: str, key: str) -> str:
    found = re.search(rf"^{key}\s*:\s*[\"']?([^\"'\s#]+)", info, re.MULTILINE)
    return found[1] if found else ""


# A file is looked at before it is read, and opened once for both.
@lru_cache(maxsize=1)
def _grid(word: str) -> Any:
    """Return Pythia's densities for a value of its setting ``PDF:pSet``; None if it has none."""
    import pythia8mc

    pythia = pythia8mc.Pythia("", False)
    pythia.readString("Print:quiet = on")
    pythia.readString(f"PDF:pSet = {word}")
    grid = pythia.getPDFPtr(2212)
    return grid if grid is not None and grid.isSetup() else None


class PartonDistribution:
    """Densities of all partons at any scale, straight from Pythia 8: a call per parton."""

    def __init__(self, grid: Any) -> None:
        """Take densities from Pythia, its class ``PDF``."""
        self._grid = grid

    @classmethod
    def of_file(cls, file: str) -> "PartonDistribution":
        """Read one of :attr:`PdfSet.files`.

        Raises:
            ValueError: Pythia cannot.
        """
        grid = _grid(f"LHAGrid1:{file}")
        if grid is None:
            raise ValueError(f"Pythia 8 has no parton densities '{file}'")
        return cls(grid)

    def __call__(self, pdg_id: Array, x: Array, q2: Array) -> Array:
        """Return x f(x, q2), not negative.

        Args:
            pdg_id: PDG codes ``(n,)``.
            x: Momentum fractions ``(n,)``.
            q2: Squared scales in GeV^2, ``(n,)``.
        """
        xf = self._grid.xf
        columns = (pdg_id.tolist(), x.tolist(), q2.tolist())
        return np.array([max(xf(*row), 0.0) for row in zip(*columns, strict=True)])


class PartonDensities:
    """Densities f(x, mu^2) of the light quarks and antiquarks in the proton at one scale mu."""

    def __init__(self, pdf_set: str, scale: float) -> None:
        """Tabulate the central member of a set.

        Args:
            pdf_set: Name of a set, for instance ``NNPDF31_lo_as_0130``; see :func:`find_set`.
            scale: Factorisation scale in GeV.

        Raises:
            ValueError: There is no such set.
        """
        self._tabulate(find_set(pdf_set).files[0], scale)

    @classmethod
    def of_file(cls, file: str, scale: float) -> "PartonDensities":
        """Tabulate one of :attr:`PdfSet.files`."""
        densities = cls.__new__(cls)
        densities._tabulate(file, scale)
        return densities

    def _tabulate(self, file: str, scale: float) -> None:
        distribution = PartonDistribution.of_file(file)
        x = np.geomspace(_X_MIN, 1.0, _KNOTS)
        flavours = [sign * q for q in LIGHT_QUARKS for sign in (1, -1)]
        q2 = np.full(_KNOTS, scale**2)
        table = [distribution(np.full(_KNOTS, f), x, q2) for f in flavours]
        self._flavours = flavours
        self._spline = scipy.interpolate.CubicSpline(np.log(x), np.stack(table, axis=-1))

    def __call__(self, x: Array) -> Mapping[int, Array]:
        """Return f(x), not x f(x), by PDG code for momentum fractions ``(n,)`` within (0, 1)."""
        xf = np.clip(self._spline(np.log(np.clip(x, _X_MIN, 1.0))), 0.0, None)
        return {f: xf[:, i] / x for i, f in enumerate(self._flavours)}

    def product(self, pdg_id: Array, x: Array) -> Array:
        """Return f_a(x_a) f_b(x_b) of the two incoming partons.

        Args:
            pdg_id: PDG codes ``(n, 2)``.
            x: Momentum fractions ``(n, 2)``.

        Returns:
            Products ``(n,)``.
        """
        xf = [self(x[:, side]) for side in (0, 1)]
        chosen = [
            np.select([pdg_id[:, side] == f for f in self._flavours], list(xf[side].values()))
            for side in (0, 1)
        ]
        product: Array = chosen[0] * chosen[1]
        return product


class StrongCoupling:
    """The running strong coupling, as Pythia 8 has it."""

    def __init__(self, value: float = 0.13, order: int = 1) -> None:
        """Set it up.

        Args:
            value: Its value at the mass of the Z (Pythia's ``SigmaProcess:alphaSvalue``).
            order: Order of its running, 0 to 2 (``SigmaProcess:alphaSorder``).
        """
        import pythia8mc

        self._coupling = pythia8mc.AlphaStrong()
        self._coupling.init(value, order, 6, False)

    def __call__(self, q2: Array) -> Array:
        """Return alpha_s at squared scales ``(n,)`` in GeV^2."""
        values: Array = np.vectorize(self._coupling.alphaS, otypes=[float])(q2)
        return values
