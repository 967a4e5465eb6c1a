"""Tracking of steps with MLflow, where a server is named; MLflow is not even imported otherwise.

Tracking never makes a step fail: the first call that fails, or takes longer than a few seconds,
is reported in one warning and ends the tracking of the step.
"""

import argparse
import contextlib
import getpass
import logging
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from steps.arrays import Array
from steps.stage.files import sha256
from steps.tracking.addresses import without_credentials

EXPERIMENTS = {
    "sampling": "madminer-ml-sample",
    "training": "madminer-ml-train",
    "evaluating": "madminer-ml-eval",
}

# Entry point of MLproject whose run is that of all steps together; each step has one of its own.
_WHOLE_WORKFLOW = "main"
# The user interface shows runs and losses, not the pages for language models.
_MODEL_TRAINING = {"mlflow.experimentKind": "custom_model_development"}
_PATIENCE = 8.0  # seconds for one call
_BATCH_SECONDS = 1.0
_LONGEST_PARAMETER = 500
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the server and the user."""
    parser.add_argument(
        "--mlflow-server",
        default=os.environ.get("MLFLOW_TRACKING_URI", ""),
        help="tracking URI, a server or sqlite:///FILE; empty for none",
    )
    parser.add_argument("--mlflow-username", default="", help="user whom runs belong to")


def set_limits() -> None:
    """Keep MLflow, imported afterwards, from waiting long for a server and from telling others."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


class Record:
    """What a step tells the tracking server; every method returns at once where there is none."""

    def __init__(self) -> None:
        """Return a record that goes nowhere."""
        self.on = False  # whether anybody listens
        self.run_id = ""
        self.model_id = ""
        self._client: Any = None
        self._server = ""
        self._secrets: list[str] = []
        self._pending: list[Any] = []
        self._sent = time.monotonic()

    def parameters(self, values: Mapping[str, Any]) -> None:
        """Log what the step was told; names that ``mlflow run`` has logged already stay."""
        if not self.on:
            return
        from mlflow.entities import Param

        def log() -> None:
            known = self._client.get_run(self.run_id).data.params
            new = {name: value for name, value in values.items() if name not in known}
            items = [Param(name, _text(value)) for name, value in new.items()]
            self._client.log_batch(self.run_id, params=items)

        self._attempt(log)

    def tags(self, values: Mapping[str, str]) -> None:
        """Log what belongs to the run."""
        if not self.on:
            return
        from mlflow.entities import RunTag

        items = [RunTag(name, value) for name, value in values.items()]
        self._attempt(lambda: self._client.log_batch(self.run_id, tags=items))

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log numbers; those of many steps go out together, about once in a second."""
        if not self.on:
            return
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        self._pending += [
            Metric(re.sub(r"[^\w\-./ ]", "_", name), float(value), now, step)
            for name, value in values.items()
            if np.isfinite(value)
        ]
        if time.monotonic() - self._sent > _BATCH_SECONDS:
            self._flush()

    def files(self, paths: Sequence[Path], folder: str | None = None) -> None:
        """Log files as artifacts."""
        for path in paths if self.on else ():
            log = self._client.log_artifact
            self._attempt(partial(log, self.run_id, str(path), folder))

    def figure(self, name: str, figure: Any) -> None:
        """Log a figure as a picture."""
        if self.on:
            self._attempt(lambda: self._client.log_figure(self.run_id, figure, name))

    def model(self, name: str, network: Any, example: Array, scratch: Path) -> None:
        """Log a model that MLflow loads without MadMiner and without unpickling.

        Args:
            name: Name of the model.
            network: Torch module from a matrix to a matrix.
            example: Example of its input, ``(n, n_columns)``.
            scratch: Folder that does not exist, for the files.
        """
        if not self.on:
            return
        import mlflow
        import torch
        from mlflow.entities import LoggedModelOutput
        from mlflow.models import Model

        def create() -> Any:
            experiment = self._client.get_run(self.run_id).info.experiment_id
            return self._client.create_logged_model(
                experiment, name=name, source_run_id=self.run_id, model_type="estimator"
            )

        logged = self._attempt(create)
        if logged is None:
            return
        requirements = [f"torch=={torch.__version__.split('+')[0]}", f"numpy=={np.__version__}"]
        try:
            # Making the files takes a while and needs no server: no limit of time here.
            mlflow.pytorch.save_model(
                network,
                scratch,
                mlflow_model=Model(
                    artifact_path=logged.artifact_location,
                    run_id=self.run_id,
                    model_id=logged.model_id,
                    model_uuid=logged.model_id,
                ),
                input_example=example,
                pip_requirements=requirements,
                serialization_format="pt2",
            )
        except Exception as error:
            self._stop(error)
            return

        def upload() -> None:
            self._client.log_model_artifacts(logged.model_id, str(scratch))
            self._client.finalize_logged_model(logged.model_id, "READY")
            self._client.log_outputs(self.run_id, [LoggedModelOutput(logged.model_id, step=0)])

        self._attempt(upload)
        self.model_id = logged.model_id if self.on else ""

    def used_model(self, model_id: str) -> None:
        """Log that the step used a model of an earlier run."""
        if not (self.on and model_id):
            return
        from mlflow.entities import LoggedModelInput

        self._attempt(
            lambda: self._client.log_inputs(self.run_id, models=[LoggedModelInput(model_id)])
        )

    def _start(self, stage: str, server: str, username: str) -> None:
        """Connect, make sure that all experiments exist, and start a run."""
        set_limits()
        uri = self._separate(server, username)
        self._server = without_credentials(server)
        try:
            import mlflow
        except Exception as error:
            print(
                f"warning: tracking is off: MLflow cannot be imported ({error}); "
                "pip install -r requirements/run.txt -r requirements/mlflow.txt",
                file=sys.stderr,
            )
            return
        # One warning of ours says it all; these would add a page, and the server's address.
        for name in ("mlflow", "alembic", "urllib3", "git"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self.on = True

        def start() -> str:
            self._client = mlflow.MlflowClient(uri)
            experiments = {name: self._experiment(name, uri) for name in EXPERIMENTS.values()}
            tags = {}
            if run_id := os.environ.get("MLFLOW_RUN_ID"):  # of 'mlflow run'
                known = self._client.get_run(run_id).data.tags
                if known.get("mlflow.project.entryPoint") != _WHOLE_WORKFLOW:
                    return run_id
                tags = {"mlflow.parentRunId": run_id}
            run = self._client.create_run(experiments[EXPERIMENTS[stage]], tags=tags)
            return str(run.info.run_id)

        # A new database is a file with some tens of tables to make, not a server to wait for.
        patience = 10 * _PATIENCE if uri.startswith("sqlite:") else _PATIENCE
        self.run_id = self._attempt(start, patience) or ""

    def _separate(self, server: str, username: str) -> str:
        """Return the URI to use; a server's user and password go where MLflow looks for them.

        The workflow's parameters, which are written to files, name a server without credentials;
        these come with the environment.
        """
        given = os.environ.get("MLFLOW_TRACKING_URI", "")
        uri = given if without_credentials(given) == without_credentials(server) else server
        match = re.match(r"https?://([^/]*)@", uri)
        if match:
            user, _, password = match[1].partition(":")
            os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(user)
            os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(password)
        elif username and "MLFLOW_TRACKING_PASSWORD" in os.environ:
            os.environ.setdefault("MLFLOW_TRACKING_USERNAME", username)
        credentials = re.search(r"(?<=://)(?!/).*@", uri)
        secrets = [credentials[0].rstrip("@")] if credentials else []
        secrets += [secret.partition(":")[2] for secret in secrets]
        names = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
        self._secrets = [s for s in (*secrets, *map(os.environ.get, names)) if s]
        self._secrets += [unquote(secret) for secret in self._secrets]
        return without_credentials(uri) if match else uri

    def _experiment(self, name: str, uri: str) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(name)
        if found is None:
            with contextlib.suppress(MlflowException):  # another workflow was faster
                place = _artifacts(uri, name)
                return str(self._client.create_experiment(name, place, _MODEL_TRAINING))
            found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id)

    def _flush(self) -> None:
        pending, self._pending = self._pending, []
        while pending and self.on:
            batch, pending = pending[:1000], pending[1000:]
            self._attempt(partial(self._client.log_batch, self.run_id, metrics=batch))
        self._sent = time.monotonic()

    def _end(self, status: str) -> None:
        self._flush()
        if self.on:
            self._attempt(lambda: self._client.set_terminated(self.run_id, status))

    def _attempt(self, call: Callable[[], Any], patience: float = _PATIENCE) -> Any:
        """Return what a call returns, or None where tracking is at its end."""
        if not self.on:
            return None
        answers: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

        def work() -> None:
            try:
                answers.put((call(), None))
            except BaseException as error:
                answers.put((None, error))

        # A thread that is not waited for: no time limit of a library holds in all cases.
        threading.Thread(target=work, daemon=True).start()
        try:
            answer, error = answers.get(timeout=patience)
        except queue.Empty:
            answer, error = None, TimeoutError(f"no answer in {patience:.0f} s")
        if error is not None:
            self._stop(error)
        return answer

    def _stop(self, error: BaseException) -> None:
        self.on = False
        # The innermost cause says most, in one line.
        while cause := error.__cause__ or error.__context__:
            error = cause
        text = " ".join(str(error).split()) or type(error).__name__
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        text = re.sub(r"<[^>]* at 0x\w+>: ", "", text)
        warning = f"warning: tracking at {self._server} stopped: {text[:300]}"
        print(warning, file=sys.stderr, flush=True)


@contextlib.contextmanager
def run(stage: str, arguments: argparse.Namespace) -> Iterator[Record]:
    """Record a step, from its start to its end or failure.

    Args:
        stage: One of ``EXPERIMENTS``.
        arguments: Of :func:`add_arguments`, and ``settings`` or ``input_file``.
    """
    record, start = Record(), time.monotonic()
    if arguments.mlflow_server:
        record._start(stage, arguments.mlflow_server, arguments.mlflow_username)
    if record.on:
        record.tags(_origin(arguments.mlflow_username) | {"stage": stage})
        # The settings of the stage alone, or the whole input file.
        name = "settings" if arguments.settings else "input_file"
        file = getattr(arguments, name)
        record.parameters({name: file, f"{name}_sha256": sha256(file)})
        record.files([file], "settings")
    try:
        yield record
    except BaseException:
        record._end("FAILED")
        raise
    record.metrics({"wall_time": time.monotonic() - start})
    record._end("FINISHED")


def _artifacts(uri: str, experiment: str) -> str | None:
    """Where a new experiment keeps its files; a server decides by itself.

    Raises:
        ValueError: Neither a server nor sqlite: MLflow would choose the step's work directory.
    """
    if uri.startswith("sqlite:///"):
        return (
            (Path(uri.removeprefix("sqlite:///")).resolve().parent / "mlartifacts")
            .joinpath(experiment)
            .as_uri()
        )
    if not uri.startswith(("http://", "https://")):
        raise ValueError(
            f"no experiment {experiment} in the store; create it with a place for its files: "
            f"mlflow experiments create --experiment-name {experiment} --artifact-location PLACE"
        )
    return None


def _origin(username: str) -> dict[str, str]:
    tags = {"mlflow.source.name": "madminer-workflow", "mlflow.source.type": "PROJECT"}
    with contextlib.suppress(Exception):  # a container's user may have no name
        tags["mlflow.user"] = username or getpass.getuser()
    commit, _, changed = _commit().partition("-")
    if commit:
        tags |= {"mlflow.source.git.commit": commit, "git_changed": str(bool(changed)).lower()}
    return tags


def _commit() -> str:
    """Commit of the code with '-dirty' where it was changed; images know it by a variable."""
    if commit := os.environ.get("MADMINER_WORKFLOW_COMMIT"):
        return commit
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=5
        ).stdout.strip()
    return ""


def _text(value: Any) -> str:
    return str(value)[:_LONGEST_PARAMETER]
