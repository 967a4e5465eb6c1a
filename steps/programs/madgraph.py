"""MadGraph5_aMC@NLO (arXiv:1405.0301) as event generator, through MadMiner's cards and scripts."""

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from steps.madminer.setup import load_setup
from steps.programs.cards import Card

# MadGraph's random seeds lie below 31081 * 30081.
_MAX_SEED = 900_000_000
# Models written for Python 2 are converted.
_CONVERT = "set auto_convert_model T --no_save\n"
_COMPLAINT = re.compile(r"error|critical", re.IGNORECASE)
_NEEDS = (
    "a Python with six and NumPy's f2py that still compiles (Debian's python3-six, python3-numpy "
    "and python3-dev, or numpy<2 with setuptools<60)"
)


class MadGraphError(Exception):
    """MadGraph is not there, or did not do what it was asked for; one line."""


@dataclass(frozen=True)
class Installation:
    """Where MadGraph is.

    Attributes:
        folder: Folder with ``bin/mg5_aMC``.
        python: Interpreter that runs it.
    """

    folder: Path
    python: Path


def find(process_cards: Sequence[Card], scratch: Path | None = None) -> Installation:
    """Find MadGraph in ``MADGRAPH_DIR``, and a Python for it in ``MADGRAPH_PYTHON``.

    Without the latter it is the first ``python3`` of the PATH that can reweight.

    Args:
        process_cards: Process cards whose models must be there.
        scratch: Folder for a trial of the compilers (in containers the system's own may not hold
            programs).

    Raises:
        MadGraphError: MadGraph, a model, a compiler or a fitting Python is missing.
    """
    given = os.environ.get("MADGRAPH_DIR", "")
    if not given:
        raise MadGraphError("set MADGRAPH_DIR to the folder of MadGraph, or use its image")
    folder = Path(given)
    if not (folder / "bin" / "mg5_aMC").is_file():
        raise MadGraphError(f"MADGRAPH_DIR: no bin/mg5_aMC in {folder}; check the path")
    for program in ("gfortran", "make"):
        if shutil.which(program) is None:
            raise MadGraphError(f"MadGraph needs {program}; install it")
    for card in process_cards:
        model = _model(card)
        if not (folder / "models" / model).is_dir() and not Path(model).is_dir():
            raise MadGraphError(
                f"{card.name}: import model: no {model} in {folder / 'models'}; put the model there"
            )
    return Installation(folder, _python(scratch))


def _model(process_card: Card) -> str:
    match = re.search(r"^\s*import\s+model\s+(\S+)", process_card.text, re.MULTILINE)
    # Behind the dash is a restriction of the model.
    return match[1].split("-")[0] if match else "sm"


def _python(scratch: Path | None) -> Path:
    """Return the first interpreter that MadGraph's reweighting can use."""
    named = os.environ.get("MADGRAPH_PYTHON")
    folders = [] if named else os.environ.get("PATH", "").split(os.pathsep)
    candidates = [Path(named)] if named else [Path(folder, "python3") for folder in folders]
    for python in dict.fromkeys(candidates):
        # MadGraph looks for f2py, too, though it is told to run that of the interpreter.
        if python.is_file() and python.with_name("f2py").exists() and _compiles(python, scratch):
            # Not resolved: the interpreter of a virtual environment is a link out of it.
            return python.absolute()
    tried = f"{named} does not suit" if named else "no python3 on the PATH suits"
    raise MadGraphError(f"{tried} MadGraph's reweighting; name in MADGRAPH_PYTHON {_NEEDS}")


def _compiles(python: Path, folder: Path | None) -> bool:
    """Return whether an interpreter has six, and compiles and imports Fortran through f2py."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        Path(scratch, "trial.f").write_text("      subroutine nothing\n      end\n")
        command = "import six, trial"
        for arguments in (["-m", "numpy.f2py", "-c", "trial.f", "-m", "trial"], ["-c", command]):
            done = subprocess.run(
                [python, *arguments], cwd=scratch, env=_environment(python), capture_output=True
            )
            if done.returncode:
                return False
    return True


def _environment(python: Path) -> dict[str, str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    environment["PATH"] = os.pathsep.join([str(python.parent), environment.get("PATH", "")])
    environment["F2PY"] = f"{python} -m numpy.f2py"
    return environment


@dataclass(frozen=True)
class Process:
    """What MadGraph is to write.

    Attributes:
        process_card: Process card.
        run_card: Run card.
        configuration_card: MadEvent's configuration.
        param_card: Template of the parameter cards; None: that of the model.
        is_background: Whether the process does not depend on the parameters.
    """

    process_card: Card
    run_card: Card
    configuration_card: Card
    param_card: Card | None
    is_background: bool


def prepare(
    installation: Installation,
    setup_file: Path,
    process: Process,
    benchmarks: Sequence[str],
    folder: Path,
) -> None:
    """Write a process folder, with MadMiner's cards and a script for each benchmark.

    Args:
        installation: MadGraph.
        setup_file: MadMiner file with the set-up.
        process: The process.
        benchmarks: Benchmarks to sample at, in the order of the scripts.
        folder: Process folder to write; its parent gets the logs.

    Raises:
        MadGraphError: MadGraph did not write the process.
    """
    miner = load_setup(str(setup_file))
    log = folder.parent / "generate.log"
    scratch = folder.parent / f"{folder.name}.scratch"
    scratch.mkdir(parents=True)
    try:
        # The model's own is there when MadGraph has written the process.
        param_card = str(folder / "Cards" / "param_card.dat")
        if process.param_card is not None:
            param_card = _written(scratch / "param_card.dat", process.param_card.text)
        miner.run_multiple(
            mg_directory=str(installation.folder),
            proc_card_file=_written(
                scratch / "proc_card.dat", _CONVERT + process.process_card.text
            ),
            param_card_template_file=param_card,
            run_card_files=[_written(scratch / "run_card.dat", process.run_card.text)],
            mg_process_directory=str(folder),
            configuration_file=_written(scratch / "me5.txt", process.configuration_card.text),
            log_directory=str(folder.parent),
            temp_directory=str(scratch),
            initial_command=_initial_command(installation.python, scratch),
            sample_benchmarks=list(benchmarks),
            is_background=process.is_background,
            only_prepare_script=True,
            python_executable=str(installation.python),
        )
    except (FileNotFoundError, RuntimeError):
        # Of the model's parameter card, where there is no process; told below.
        if (folder / "SubProcesses").is_dir():
            raise
    finally:
        shutil.rmtree(scratch)
    if not (folder / "SubProcesses").is_dir():
        card = process.process_card.name
        raise MadGraphError(f"MadGraph wrote no process for {card}; {_complaint(log)}")


def _written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def _initial_command(python: Path, scratch: Path) -> str:
    """The shell's words before MadGraph: its environment, and a place for the files it leaves.

    They stand in the scripts of the jobs too, which run when that place is gone.
    """
    # The rest of the PATH is that of the machine where they run.
    path = f'{shlex.quote(str(python.parent))}:"$PATH"'
    f2py = shlex.quote(_environment(python)["F2PY"])
    place = f"cd {shlex.quote(str(scratch))} 2>/dev/null || true"
    return f"unset PYTHONPATH PYTHONHOME; export PATH={path} F2PY={f2py}; {place}"


def generate(
    installation: Installation,
    folder: Path,
    script: int,
    n_events: int,
    seed: int,
    **run_card: float | str,
) -> Path:
    """Generate and reweight events in a process folder of one's own.

    Args:
        installation: MadGraph.
        folder: Copy of the folder that :func:`prepare` wrote.
        script: Number of the script to run.
        n_events: Number of events.
        seed: Random seed.
        run_card: Further settings of the run card, by name.

    Returns:
        The event file, with a weight for each benchmark by name but the one sampled at.

    Raises:
        MadGraphError: There is no event file.
    """
    card = folder / "madminer" / "cards" / f"run_card_{script}.dat"
    settings = {"nevents": n_events, "iseed": 1 + seed % _MAX_SEED, **run_card}
    card.write_text(_set(card.read_text(), settings))
    log = folder / f"run_{script}.log"
    earlier = _event_files(folder)
    with log.with_suffix(".err").open("w") as errors:
        subprocess.run(
            ["bash", f"madminer/scripts/run_{script}.sh", installation.folder, folder, folder],
            cwd=folder,
            env=_environment(installation.python),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            check=False,
        )
    print(log.read_text(errors="replace") if log.exists() else "", flush=True)
    made = _event_files(folder) - earlier
    if not made:
        raise MadGraphError(f"MadGraph made no events; {_complaint(log)}")
    return max(made)


def _event_files(folder: Path) -> set[Path]:
    return set((folder / "Events").glob("run_*/unweighted_events.lhe.gz"))


def beam_energies(run_card: Card) -> tuple[float, float]:
    """Return the energies of both beams in GeV; 6500 where a run card does not say."""
    found = (
        re.search(rf"^\s*([^#\s=]+)\s*=\s*ebeam{k}\b", run_card.text, re.MULTILINE) for k in (1, 2)
    )
    first, second = (float(match[1]) if match else 6500.0 for match in found)
    return first, second


def _set(card: str, values: Mapping[str, float | str]) -> str:
    """Set values of a run card, whose lines read ``value = name``."""
    for name, value in values.items():
        line = f"  {value} = {name}"
        card, n = re.subn(rf"^[^#\n=]*=\s*{name}\b.*$", line, card, flags=re.MULTILINE)
        card = card if n else f"{card}\n{line}\n"
    return card


def _complaint(log: Path) -> str:
    """Return what a log complains of, in one line."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    first = next((k for k, text in enumerate(lines) if _COMPLAINT.search(text)), -3)
    said = " ".join(" ".join(lines[first : first + 3]).split())
    return f"it said: {said[:300] or 'nothing'}"
