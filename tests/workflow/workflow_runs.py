"""What tests of whole workflows share."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SMALL = (
    *("--profile", "test", "-p", "num_events=300", "-p", "mlflow_args_s=n_samples_train=2000"),
    *("-p", "mlflow_args_t=num_epochs=2"),
)


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Call the runner."""
    command = [sys.executable, "-m", "scripts.run", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
