"""The built-in generator: p p -> j j H by W fusion."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from steps.arrays import Array
from steps.backends.cards import ReadCard
from steps.backends.plans import FanOut, Plan
from steps.events import lhe, madminer_file
from steps.events.expressions import ExpressionError
from steps.events.madminer_file import Setup
from steps.events.origin import SIGNAL
from steps.events.transforms import card_values
from steps.physics import amplitude, generator, reweighting
from steps.physics.partons import PartonDensities, find_set
from steps.physics.phase_space import Cuts
from steps.stage import command, seeds
from steps.stage.errors import SettingError, reading


class Backend:
    """See :class:`steps.backends.generators.Generator`."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Take the section ``generator`` with ``energy``, ``pdf``, ``scale``, ``cuts``, …"""
        self._settings = settings

    @staticmethod
    def complete(section: Mapping[str, Any], card: ReadCard) -> Mapping[str, Any]:
        """The schema has filled in everything."""
        return dict(section)

    def check(self, parameters: Sequence[Mapping[str, Any]]) -> None:
        """Check that the amplitude knows the parameters, Pythia the densities."""
        codes = [(p["lha_block"].lower(), p["lha_id"]) for p in parameters]
        try:
            wilson_coefficients(dict.fromkeys(codes, 0.0))
        except ValueError as error:
            raise SettingError(f"parameters: {error}; choose from these") from None
        try:
            find_set(self._settings["pdf"])
        except ValueError as error:
            raise SettingError(f"generator: pdf: {error}; choose one it ships") from None
        if self._settings["cuts"]["pt_min"] >= 0.25 * self._settings["energy"]:
            raise SettingError("generator: cuts: pt_min leaves no phase space; choose a lower one")

    def check_morphing(
        self,
        benchmarks: Sequence[Mapping[tuple[str, int], float]],
        weights: Array,
        point: Mapping[tuple[str, int], float],
    ) -> None:
        """Check that a weighted sum of the benchmarks' |M|^2 is that of a point, for any event."""
        known = amplitude.monomials([wilson_coefficients(b) for b in benchmarks])
        wanted = amplitude.monomials([wilson_coefficients(point)])[0]
        tolerance = 1e-6 * np.abs(known).max()
        if not np.allclose(weights @ known, wanted, rtol=1e-6, atol=tolerance):
            raise SettingError(
                "parameters, set_morphing: |M|^2 is quadratic in the coefficients of the model; "
                "give morphing_max_power and max_overall_power of 2, or more if "
                "param_card_transform is not linear"
            )

    def find_programs(self) -> None:
        """Everything is built in."""

    @property
    def event_settings(self) -> Mapping[str, Any]:
        """All of them."""
        return self._settings

    @property
    def energy(self) -> float:
        """As given."""
        return float(self._settings["energy"])

    @property
    def exact_morphing(self) -> bool:
        """The amplitude is known; see :meth:`check_morphing`."""
        return True

    def _process(self) -> generator.Process:
        settings = self._settings
        return generator.Process(
            densities=PartonDensities(settings["pdf"], settings["scale"]),
            energy=settings["energy"],
            branching_ratio=settings["branching_ratio"],
            cuts=Cuts(**settings["cuts"]),
        )

    def prepare(self, setup_file: Path, folder: Path, seed: int, fan_out: FanOut) -> None:
        """Adapt a sampling grid to each benchmark."""
        setup = madminer_file.read_setup(setup_file)
        process, points = self._process(), _points(setup)
        report = command.progress(len(points), "benchmarks", seconds=0)
        for done, (benchmark, point) in enumerate(points.items(), start=1):
            grid = generator.adapt(process, point, seeds.generator(seed, "generate", benchmark))
            if not grid.max_weight > 0:
                raise SettingError(
                    f"generator: cuts: no phase space is left at benchmark {benchmark}; loosen them"
                )
            print(f"{benchmark}: {grid.cross_section:.4e} +- {grid.error:.1e} pb", flush=True)
            fan_out("", benchmark, lambda place, grid=grid: write_grid(place, grid))  # type: ignore[misc]
            report(done)

    def generate(
        self, setup: Setup, plan: Plan, job_dir: Path, event_file: Path
    ) -> tuple[Array, float]:
        """Draw unweighted events from the job's grid."""
        points = _points(setup)
        point = points[plan.benchmark]
        grid = read_grid(job_dir)
        events = generator.generate(
            self._process(),
            grid,
            point,
            plan.n_events,
            seeds.generator(plan.seed, "generator"),
            command.progress(plan.n_events, "events generated"),
        )
        weights = generator.benchmark_weights(
            events, grid.cross_section, plan.n_events, point, list(points.values())
        )
        head = lhe.Head(
            beam_energy=0.5 * self._settings["energy"],
            cross_section=(grid.cross_section, grid.error),
            scale=self._settings["scale"],
            alphas=(amplitude.ALPHA_EW, -1.0),
        )
        sample = lhe.Weights(weights, list(points), plan.benchmark)
        lhe.write(event_file, events.pdg_id, events.momenta, sample, head)
        return weights, grid.cross_section

    def check_variations(self, systematics: Sequence[Mapping[str, Any]]) -> None:
        """Check that scales vary which the process has."""
        for entry in systematics:
            if entry.get("scale") == "mur" and entry["processes"] == [SIGNAL]:
                raise SettingError(
                    f"systematics: {entry['name']}: the built-in process has no strong coupling at "
                    "leading order, so mur changes nothing; choose muf, or remove the entry"
                )

    def log_responses(
        self, event_file: Path, process: str, systematics: Sequence[Mapping[str, Any]]
    ) -> Mapping[str, Array]:
        """Compute them by ratios of parton densities; there is no strong coupling."""
        pdf, scale = self._settings["pdf"], self._settings["scale"]
        nominal = PartonDensities(pdf, scale)
        pdg_id, energy = lhe.read_incoming(event_file)
        x = energy / (0.5 * self._settings["energy"])

        def ratio(varied: PartonDensities, to: PartonDensities) -> Array:
            return reweighting.of_tables(varied, to, pdg_id, x)

        logs = {}
        for entry in systematics:
            if entry["type"] == "pdf":
                load = partial(PartonDensities.of_file, scale=scale)
                logs[entry["name"]] = reweighting.of_sets(entry["value"], nominal, load, ratio)
            else:
                factors = [reweighting.scale_factors(entry["scale"], f)[0] for f in entry["value"]]
                shifted = [PartonDensities(pdf, factor * scale) for factor in factors]
                columns = [ratio(densities, nominal) for densities in shifted]
                logs[entry["name"]] = np.stack(columns, axis=-1)
        return logs


def wilson_coefficients(card_values: Mapping[tuple[str, int], float]) -> dict[str, float]:
    """Translate parameter-card values by (block, code) to the amplitude's coefficients in TeV^-2.

    Raises:
        ValueError: The amplitude does not know a parameter.
    """
    known = amplitude.WILSON_COEFFICIENTS
    unknown = [key for key in card_values if key not in known]
    if unknown:
        block, code = unknown[0]
        names = ", ".join(f"{b} {c} ({name})" for (b, c), name in known.items())
        raise ValueError(
            f"the built-in generator does not know parameter {block} {code}; it knows {names}"
        )
    return {known[key]: value for key, value in card_values.items()}


def _points(setup: Setup) -> dict[str, dict[str, float]]:
    """Return the Wilson coefficients of each benchmark by its name."""
    try:
        return {
            name: wilson_coefficients(card_values(setup, values))
            for name, values in setup.benchmarks.items()
        }
    except (ValueError, ExpressionError) as error:
        raise SettingError(f"parameters: {error}") from None


def write_grid(folder: Path, grid: generator.Grid) -> None:
    """Write an adapted grid beside a plan."""
    with h5py.File(folder / "grid.h5", "w") as file:
        for axis, edges in enumerate(grid.edges):
            file[f"edges/{axis}"] = edges
        for name in ("cross_section", "error", "max_weight"):
            file.attrs[name] = getattr(grid, name)


def read_grid(folder: Path) -> generator.Grid:
    """Read the grid beside a plan."""
    path = folder / "grid.h5"
    with (
        reading(path, "the grid of a job", "run stage generate again"),
        h5py.File(path) as file,
    ):
        edges = [file[f"edges/{axis}"][()] for axis in range(len(file["edges"]))]
        numbers = {name: float(value) for name, value in file.attrs.items()}
    return generator.Grid(edges=edges, **numbers)
