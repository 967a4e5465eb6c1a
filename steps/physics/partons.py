"""Parton densities of the proton at a fixed factorisation scale, from the sets Pythia 8 ships."""

from collections.abc import Mapping

import numpy as np
from scipy.interpolate import CubicSpline

from steps.arrays import Array

LIGHT_QUARKS = (1, 2, 3, 4)
_X_MIN = 1e-7
_KNOTS = 2000


class PartonDensities:
    """Densities f(x, mu^2) of the light quarks and antiquarks in the proton at one scale mu."""

    def __init__(self, pdf_set: str, scale: float) -> None:
        """Tabulate a set.

        Args:
            pdf_set: Name of a set in LHAPDF grid format in Pythia's ``pdfdata`` folder,
                for instance ``NNPDF31_lo_as_0130``.
            scale: Factorisation scale in GeV.

        Raises:
            ValueError: Pythia does not have the set.
        """
        import pythia8mc

        pythia = pythia8mc.Pythia("", False)
        pythia.readString("Print:quiet = on")
        pythia.readString(f"PDF:pSet = LHAGrid1:{pdf_set}_0000.dat")
        grid = pythia.getPDFPtr(2212)
        if grid is None or not grid.isSetup():
            raise ValueError(f"Pythia 8 ships no parton densities named '{pdf_set}'")
        x = np.geomspace(_X_MIN, 1.0, _KNOTS)
        flavours = [sign * q for q in LIGHT_QUARKS for sign in (1, -1)]
        table = [[max(grid.xf(f, xi, scale**2), 0.0) for f in flavours] for xi in x]
        self._flavours = flavours
        self._spline = CubicSpline(np.log(x), np.array(table))

    def __call__(self, x: Array) -> Mapping[int, Array]:
        """Return f(x), not x f(x), by PDG code for momentum fractions ``(n,)`` within (0, 1)."""
        xf = np.clip(self._spline(np.log(np.clip(x, _X_MIN, 1.0))), 0.0, None)
        return {f: xf[:, i] / x for i, f in enumerate(self._flavours)}
