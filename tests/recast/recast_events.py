"""Signal and background in a MadMiner file that knows its cross sections before cuts."""

from pathlib import Path

import data_files
import numpy as np

from steps.events import madminer_file


def write(path: Path) -> None:
    """Write the file; its observables are ``x`` and ``y``, its one parameter has benchmarks."""
    arrays = data_files.with_background()
    background = arrays["samples/sampling_benchmarks"] < 0
    arrays["sample_summary/signal_events"] = np.array([(~background).sum(), 0, 0])
    arrays["sample_summary/background_events"] = int(background.sum())
    data_files.write(path, arrays)
    madminer_file.write_cross_sections(path, np.array([[1.0, 2.1, 2.1], [0.5, 0.5, 0.5]]))
