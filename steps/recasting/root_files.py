"""Templates in ROOT files, here or at an address."""

import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from steps.recasting.templates import Histogram, Template
from steps.stage.errors import InputError, reading
from steps.stage.files import atomic

ABOUT = "madminer_workflow"
"""Name of the text in a file that says what its histograms are."""

_SIDES = ("__up", "__down")


def write(path: Path, templates: Mapping[str, Template], about: Mapping[str, Any]) -> None:
    """Write templates by name, and what they are, as JSON can say it.

    Template ``h`` is the histogram ``h``; its variations are ``h__NAME__up`` and ``h__NAME__down``.
    """
    import uproot

    with atomic(path) as new, uproot.recreate(new) as file:
        file[ABOUT] = json.dumps(dict(about))
        for name, template in templates.items():
            file[name] = _th1(name, template.nominal)
            for parameter, pair in template.variations.items():
                for side, histogram in zip(_SIDES, pair, strict=True):
                    key = f"{name}__{parameter}{side}"
                    file[key] = _th1(key, histogram)


def _th1(name: str, histogram: Histogram) -> Any:
    from uproot.writing.identify import to_TAxis, to_TH1x

    edges = histogram.edges
    n, middles = len(edges) - 1, (edges[:-1] + edges[1:]) / 2
    # With the bins below and above, which are empty.
    values, variances = (
        np.pad(column.astype(float), 1) for column in (histogram.values, histogram.variances)
    )
    inner = values[1:-1]
    return to_TH1x(
        fName=None,
        fTitle=name,
        data=values,
        fEntries=float(n),
        fTsumw=float(inner.sum()),
        fTsumw2=float(variances.sum()),
        fTsumwx=float(inner @ middles),
        fTsumwx2=float(inner @ middles**2),
        fSumw2=variances,
        fXaxis=to_TAxis(
            fName="xaxis",
            fTitle="",
            fNbins=n,
            fXmin=float(edges[0]),
            fXmax=float(edges[-1]),
            fXbins=edges.astype(float),
        ),
    )


class Contents:
    """The histograms of a file, by name, and what the text beside them says."""

    def __init__(self, address: str) -> None:
        """Read a file.

        Args:
            address: Path of the file, or its address ``https://...``, ``root://...`` or another
                that fsspec knows. Credentials are those of the user's environment.

        Raises:
            InputError: It cannot be had, or is no ROOT file.
        """
        import uproot

        self.address = address
        source = _fetched(address) if "://" in address else _file(address)
        remedy = "give a ROOT file that is whole"
        with reading(Path(address), "a ROOT file", remedy), uproot.open(source) as file:
            kinds = file.classnames(recursive=True, cycle=False)
            self._histograms = {
                name: _histogram(file[name])
                for name, kind in kinds.items()
                if kind.startswith("TH1")
            }
            text = str(file[ABOUT]) if ABOUT in kinds else "{}"
            self.about: Mapping[str, Any] = dict(json.loads(text))

    def __contains__(self, name: str) -> bool:
        """Whether there is a histogram of a name."""
        return name in self._histograms

    def template(self, name: str) -> Template:
        """Return a histogram with its variations.

        Raises:
            InputError: It is not there, or is no histogram that limits can be set with.
        """
        if name not in self._histograms:
            known = ", ".join(name for name in self._histograms if "__" not in name) or "none"
            raise InputError(f"{self.address}: has no histogram '{name}'; choose from {known}")
        found = self._histograms[name]
        start, (up, down) = f"{name}__", _SIDES
        variations = {}
        for key in self._histograms:
            parameter = key.removeprefix(start).removesuffix(up)
            other = f"{start}{parameter}{down}"
            if key != f"{start}{parameter}{up}" or not parameter or "__" in parameter:
                continue
            if other not in self._histograms:
                raise InputError(f"{self.address}: has '{key}', but no '{other}'; give both")
            variations[parameter] = (self._histograms[key], self._histograms[other])
        for histogram in (found, *(one for pair in variations.values() for one in pair)):
            self._check(name, histogram, found)
        return Template(found, variations)

    def _check(self, name: str, histogram: Histogram, nominal: Histogram) -> None:
        if not np.isfinite([histogram.values, histogram.variances]).all():
            raise InputError(f"{self.address}: {name}: has NaN or infinity; fill it again")
        if (histogram.variances < 0).any():
            raise InputError(f"{self.address}: {name}: has negative variances; fill it again")
        if not np.array_equal(histogram.edges, nominal.edges):
            raise InputError(f"{self.address}: {name}: variations have other bins; fill them again")


def _histogram(found: Any) -> Histogram:
    values = np.asarray(found.values(), dtype=float)
    # As in ROOT, errors are roots of contents where nothing else is said.
    squares = np.asarray(found.member("fSumw2"), dtype=float)
    variances = squares[1:-1] if len(squares) == len(values) + 2 else np.abs(values)
    return Histogram(np.asarray(found.axis().edges(), dtype=float), values, variances)


def _file(address: str) -> Path:
    path = Path(address)
    if not path.is_file():
        raise InputError(f"{address}: there is no such file; check the path")
    return path


def _fetched(address: str) -> io.BytesIO:
    """Return a whole file: histograms are small, and not every server gives parts."""
    import fsspec

    try:
        with fsspec.open(address, "rb") as file:
            return io.BytesIO(file.read())
    except ImportError as error:
        # fsspec's message names the package: "Install fsspec-xrootd to access ...".
        raise InputError(
            f"{address}: cannot be fetched; {_install(error)} where this step runs (.venv-recast, "
            "or its image)"
        ) from None
    except Exception as error:
        reason = str(error)[:120] or type(error).__name__
        raise InputError(
            f"{address}: cannot be fetched ({reason}); check the address, the network and the "
            "credentials in the environment"
        ) from None


def _install(error: ImportError) -> str:
    """What to install, from fsspec's "Install NAME to access ..."."""
    found = re.search(r"install ([\w-]+)", str(error), re.IGNORECASE)
    return f"install {found[1]}" if found else str(error)
