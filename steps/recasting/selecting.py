"""Events of a MadMiner file, reweighted to a parameter point, selected and filled."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from steps.arrays import Array
from steps.events import expressions, madminer_file
from steps.events.combination import fitted, monomials, morphed
from steps.recasting.analysis import Analysis
from steps.recasting.templates import Histogram, Template
from steps.stage.errors import InputError


@dataclass(frozen=True)
class Events:
    """Events of a file that an analysis may select.

    Attributes:
        path: The file.
        mixture: Events as they are.
        systematics: For each nuisance parameter its name, and the name of the entry that it
            belongs to where that shifts the detector, else nothing.
        responses: Factors on the weights at +1 and -1 of each, ``(n, k, 2)``.
    """

    path: Path
    mixture: madminer_file.Mixture
    systematics: list[tuple[str, str]]
    responses: Array

    @classmethod
    def read(cls, path: Path) -> "Events":
        """Read a file that :func:`steps.events.data_file.check` has found sound."""
        described = madminer_file.read_systematics(path)
        systematics = [
            (entry["name"], entry["systematic"] if entry.get("form") == "shifted" else "")
            for entry in described
        ]
        return cls(
            path,
            madminer_file.read_mixture(path),
            systematics,
            madminer_file.read_responses(path),
        )

    def signal(self, analysis: Analysis, theta: Array) -> Template:
        """Return the template in pb of what depends on the parameters, at a point ``(p,)``."""
        return self._template(analysis, theta, background=False)

    def background(self, analysis: Analysis) -> Template | None:
        """Return the template in pb of what does not depend on them; None where there is none."""
        if not self.mixture.is_background.any():
            return None
        return self._template(analysis, self.mixture.points[0], background=True)

    def signal_names(self) -> list[str]:
        """Return the names of the processes that depend on the parameters."""
        processes = madminer_file.read_processes(self.path)
        of_signal = np.unique(processes.index[~self.mixture.is_background])
        return [processes.names[number] for number in of_signal]

    def before_cuts(self, theta: Array) -> float | None:
        """Return the signal's sum of weights before cuts at a point ``(p,)``, in pb.

        It is the polynomial of the parameters through the cross sections at the benchmarks. None
        where the file does not say.
        """
        found = madminer_file.read_cross_sections(self.path)
        if found is None:
            return None
        processes = madminer_file.read_processes(self.path)
        of_signal = np.unique(processes.index[~self.mixture.is_background])
        mixture = self.mixture
        total = found[of_signal].sum(axis=0)
        coefficients = fitted(total, mixture.points, mixture.exponents)
        return float((monomials(theta[None], mixture.exponents) @ coefficients)[0])

    def _template(self, analysis: Analysis, theta: Array, *, background: bool) -> Template:
        mixture = self.mixture
        wanted = mixture.is_background == background
        passing = wanted & _passing(analysis, mixture.observations)
        x = mixture.observations[analysis.observable]
        weights = self._weights(mixture.weights, theta)

        def fill(factor: Array) -> Histogram:
            return Histogram.of(x[passing], (weights * factor)[passing], analysis.edges)

        variations = {}
        for k, (name, shifted) in enumerate(self.systematics):
            if shifted:
                up, down = madminer_file.read_shifted(self.path, shifted)
                pair = tuple(self._filled(side, analysis, theta, wanted) for side in (up, down))
            else:
                pair = tuple(fill(self.responses[:, k, side]) for side in (0, 1))
            variations[name] = (pair[0], pair[1])
        nominal = fill(np.ones(len(x)))
        moving = {
            name: pair
            for name, pair in variations.items()
            if any(not np.array_equal(side.values, nominal.values) for side in pair)
        }
        return Template(nominal, moving)

    def _filled(
        self, events: madminer_file.Shifted, analysis: Analysis, theta: Array, wanted: Array
    ) -> Histogram:
        """Fill events that pass with the detector shifted."""
        index = madminer_file.read_processes(self.path).index
        of = np.isin(events.processes, np.unique(index[wanted]))
        columns = dict(zip(self.mixture.observations, events.observations.T, strict=True))
        passing = of & _passing(analysis, columns)
        weights = self._weights(events.weights, theta)
        return Histogram.of(columns[analysis.observable][passing], weights[passing], analysis.edges)

    def _weights(self, weights: Array, theta: Array) -> Array:
        """Return weights at a point, ``(n,)``, from those at the benchmarks ``(n, b)``."""
        exponents = self.mixture.exponents
        c = len(exponents)
        at_basis, basis = weights[:, :c], self.mixture.points[:c]
        found: Array = morphed(at_basis, basis, theta[None], exponents)[:, 0]
        return found


def _passing(analysis: Analysis, columns: Mapping[str, Array]) -> Array:
    n = len(columns[analysis.observable])
    passing = np.ones(n, dtype=bool)
    for text in analysis.selections:
        value = expressions.parse(text, list(columns)).evaluate(columns)
        passing &= np.isfinite(value) & (value != 0)
    return passing


def refuse_negative(template: Template, what: str) -> None:
    """Refuse a template with bins that weights make negative.

    Raises:
        InputError: There is one.
    """
    if (bad := template.nominal.values < 0).any():
        edges = template.nominal.edges
        k = int(np.argmax(bad))
        raise InputError(
            f"{what}: the bin from {edges[k]:g} to {edges[k + 1]:g} has a negative sum of weights; "
            "take wider bins, or simulate more events"
        )
