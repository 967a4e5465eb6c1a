"""MadGraph5_aMC@NLO as generator: any process, model and parameters."""

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from steps.arrays import Array
from steps.backends.cards import ReadCard
from steps.backends.plans import FanOut, Plan
from steps.events import lhe, madminer_file
from steps.events.expressions import ExpressionError
from steps.events.madminer_file import Setup
from steps.events.transforms import card_values
from steps.physics.partons import find_set
from steps.physics.reweighting import log_ratio, scale_factors
from steps.programs import madgraph
from steps.programs.cards import Card
from steps.stage import command
from steps.stage.errors import SettingError
from steps.stage.files import atomic, pack, unpack


class Backend:
    """See :class:`steps.backends.generators.Generator`."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Take the section ``generator`` with ``processes`` and cards."""
        self._settings = settings

    @property
    def _processes(self) -> Sequence[Mapping[str, Any]]:
        processes: Sequence[Mapping[str, Any]] = self._settings["processes"]
        return processes

    @staticmethod
    def complete(section: Mapping[str, Any], card: ReadCard) -> Mapping[str, Any]:
        """Read the cards; without ``processes`` those of the shipped process."""
        shipped = {
            "name": "signal",
            "is_background": False,
            "branching_ratio": section["branching_ratio"],
        }
        processes = section.get("processes", [shipped])
        _check_processes(processes)
        # The parameter card is the model's own, unless the process is the shipped one.
        param_card = section.get("param_card")
        own = param_card is None and "processes" in section
        return {
            "backend": section["backend"],
            "param_card": None
            if own
            else card("generator: param_card", param_card, "param_card_template.dat"),
            "configuration_card": card(
                "generator: configuration_card",
                section.get("configuration_card"),
                "me5_configuration.txt",
            ),
            "processes": [dict(process) | _process_cards(process, card) for process in processes],
        }

    def check(self, parameters: Sequence[Mapping[str, Any]]) -> None:
        """MadGraph itself knows which parameters there are."""

    def check_morphing(self, benchmarks: object, weights: object, point: object) -> None:
        """The powers of an unknown amplitude are the user's to give."""

    def find_programs(self) -> None:
        """Find MadGraph, its models, compilers and a Python that it can use."""
        self._find(None)

    def _find(self, scratch: Path | None, models: bool = True) -> madgraph.Installation:
        cards = [Card(**p["process_card"]) for p in self._processes] if models else []
        try:
            return madgraph.find(cards, scratch)
        except madgraph.MadGraphError as error:
            raise SettingError(f"generator: {error}") from None

    @property
    def event_settings(self) -> Mapping[str, Any]:
        """What MadGraph has not put into the process folders."""
        kept = ("name", "branching_ratio")
        processes = [{key: process[key] for key in kept} for process in self._processes]
        return {"backend": self._settings["backend"], "processes": processes}

    @property
    def energy(self) -> float:
        """The sum of both beams' energies in the run cards."""
        found = {madgraph.beam_energies(Card(**p["run_card"])) for p in self._processes}
        (beams, *others) = found
        if others or beams[0] != beams[1]:
            raise SettingError(
                "generator: processes: Pythia's have two beams of one energy, but the run cards "
                f"have ebeam1, ebeam2 = {', '.join(map(str, sorted(found)))}; give all the same"
            )
        return sum(beams)

    @property
    def exact_morphing(self) -> bool:
        """Nobody knows, so MadGraph reweights to all benchmarks."""
        return False

    def prepare(self, setup_file: Path, folder: Path, seed: int, fan_out: FanOut) -> None:
        """Let MadGraph write each process once; the jobs share its archive."""
        setup = madminer_file.read_setup(setup_file)
        try:
            # MadMiner hands transforms to Python's eval; ours refuses what is not arithmetic.
            for values in setup.benchmarks.values():
                card_values(setup, values)
        except ExpressionError as error:
            raise SettingError(f"parameters: {error}") from None
        found = self._find(folder)
        report = command.progress(len(self._processes), "processes", seconds=0)
        for done, process in enumerate(self._processes, start=1):
            name, background = process["name"], process["is_background"]
            benchmarks = list(setup.benchmarks)[:1] if background else list(setup.benchmarks)
            self._write(found, setup_file, process, benchmarks, folder)

            def link(place: Path, name: str = name) -> None:
                os.symlink(f"../../processes/{name}.tar.gz", place / "process.tar.gz")

            for benchmark in benchmarks:
                fan_out(name, "" if background else benchmark, link)
            report(done)

    def _write(
        self,
        found: madgraph.Installation,
        setup_file: Path,
        process: Mapping[str, Any],
        benchmarks: Sequence[str],
        folder: Path,
    ) -> None:
        param_card = self._settings["param_card"]
        wanted = madgraph.Process(
            process_card=Card(**process["process_card"]),
            run_card=Card(**process["run_card"]),
            configuration_card=Card(**self._settings["configuration_card"]),
            param_card=Card(**param_card) if param_card else None,
            is_background=process["is_background"],
        )
        with atomic(folder / "processes" / f"{process['name']}.tar.gz") as archive:
            place = archive.parent.resolve() / process["name"]
            try:
                madgraph.prepare(found, setup_file.resolve(), wanted, benchmarks, place)
            except madgraph.MadGraphError as error:
                raise SettingError(f"generator: {error}") from None
            pack(place, archive)
            shutil.rmtree(place)

    def generate(
        self, setup: Setup, plan: Plan, job_dir: Path, event_file: Path
    ) -> tuple[Array, float]:
        """Let MadGraph generate and reweight."""
        process = next(p for p in self._processes if p["name"] == plan.process)
        script = list(setup.benchmarks).index(plan.benchmark) if plan.benchmark else 0
        where = plan.benchmark or "any point"
        print(f"MadGraph: {plan.n_events} events of {plan.process} at {where}")
        try:
            with tempfile.TemporaryDirectory(dir=event_file.parent.resolve()) as scratch:
                found = self._find(Path(scratch), models=False)
                unpack(job_dir / "process.tar.gz", Path(scratch), links=True)
                folder = Path(scratch) / plan.process
                made = madgraph.generate(
                    found, folder, script, plan.n_events, plan.seed, **self._run_card()
                )
                shutil.copyfile(made, event_file)
            weights, cross_section = lhe.read_weights(
                event_file, list(setup.benchmarks), plan.benchmark
            )
        except (madgraph.MadGraphError, lhe.WeightsError) as error:
            raise SettingError(f"generator: {plan.process}: {error}") from None
        branching_ratio = process["branching_ratio"]
        return branching_ratio * weights, branching_ratio * cross_section

    def _run_card(self) -> dict[str, str]:
        """Return the settings of the run card that let MadGraph compute variations."""
        systematics = self._settings.get("systematics", ())
        wanted = [entry for entry in systematics if entry["type"] in ("scale", "pdf")]
        if not wanted:
            return {}
        factors = {"mur": {1.0}, "muf": {1.0}}
        sets = []
        for entry in wanted:
            if entry["type"] == "pdf":
                sets += [find_set(name) for name in entry["value"]]
                continue
            for name in ("mur", "muf") if entry["scale"] == "mu" else (entry["scale"],):
                factors[name] |= set(entry["value"])
        listed = [Path(s.name).name + ("" if s.error_type else "@0") for s in sets] or ["central"]
        arguments = [
            f"--{name}={','.join(f'{f:g}' for f in sorted(of))}" for name, of in factors.items()
        ]
        arguments += ["--dyn=-1", f"--pdf={','.join(listed)}"]
        return {
            "use_syst": "True",
            "systematics_program": "systematics",
            "systematics_arguments": f"[{', '.join(repr(a) for a in arguments)}]",
        }

    def check_variations(self, systematics: Sequence[Mapping[str, Any]]) -> None:
        """Check that MadGraph's weights can be told by their numbers."""
        for entry in systematics:
            for name in entry["value"] if entry["type"] == "pdf" else ():
                if not find_set(name).number:
                    raise SettingError(
                        f"systematics: {entry['name']}: value: '{name}' has no number of LHAPDF; "
                        "set LHAPDF_DATA_PATH to where its folder is"
                    )

    def log_responses(
        self, event_file: Path, process: str, systematics: Sequence[Mapping[str, Any]]
    ) -> Mapping[str, Array]:
        """Read MadGraph's weights."""
        try:
            return {
                entry["name"]: _log_responses(event_file, entry, _variations(entry))
                for entry in systematics
            }
        except lhe.WeightsError as error:
            raise SettingError(f"systematics: {error}") from None


def _variations(entry: Mapping[str, Any]) -> list[lhe.Variation]:
    """Return the variations of an entry, of a set with errors the central member first."""
    if entry["type"] == "scale":
        return [lhe.Variation(*scale_factors(entry["scale"], f)) for f in entry["value"]]
    sets = [find_set(name) for name in entry["value"]]
    if not sets[0].error_type:
        return [lhe.Variation(pdf=found.number) for found in sets]
    return [lhe.Variation(pdf=sets[0].number + k) for k in range(len(sets[0].files))]


def _log_responses(
    event_file: Path, entry: Mapping[str, Any], variations: Sequence[lhe.Variation]
) -> Array:
    ratios = lhe.read_variations(event_file, variations)
    if len(variations) == entry["columns"]:
        return log_ratio(ratios, np.ones_like(ratios))
    sigmas = find_set(entry["value"][0]).sigmas
    return log_ratio(ratios[:, 1:], ratios[:, :1]) / sigmas


def _check_processes(processes: Sequence[Mapping[str, Any]]) -> None:
    names = [process["name"] for process in processes]
    for name in names:
        if names.count(name) > 1:
            raise SettingError(f"generator: processes: name '{name}' appears twice; rename one")
    if all(process["is_background"] for process in processes):
        raise SettingError(
            "generator: processes: all are backgrounds; add one that depends on the parameters"
        )


def _process_cards(process: Mapping[str, Any], card: ReadCard) -> dict[str, dict[str, str]]:
    where = f"generator: processes: {process['name']}"
    shipped = {"process_card": "proc_card_signal.dat", "run_card": "run_card_signal.dat"}
    return {
        key: card(f"{where}: {key}", process.get(key), default) for key, default in shipped.items()
    }
