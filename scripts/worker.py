"""Run steps of workflows that were started elsewhere: ``python -m scripts.worker --help``."""

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Sequence

from scripts import run
from scripts.engine.celery import broker, workers
from scripts.engine.errors import UsageError


def main(arguments: Sequence[str] | None = None) -> int:
    """Work until a signal says stop; the exit status is 2 where that is impossible."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.worker",
        description="Run steps of 'make run BACKEND=celery', started on any machine.",
    )
    run.add_cores(parser)
    options = parser.parse_args(arguments)
    try:
        workers.check(workers=False)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    _work(options.cores)
    return 0


def _work(cores: int) -> None:
    from celery import current_task
    from celery.platforms import SecurityWarning
    from celery.signals import task_prerun
    from packtivity.handlers.execution_handlers import executor

    from scripts.engine import native
    from scripts.engine.celery import cluster, leases

    def execute(config, environment: dict, state, job: dict, metadata: dict) -> None:
        this = leases.Run(*metadata[cluster.METADATA])
        with leases.step(this, current_task.request.id):
            native.run(config, environment, state, job, metadata)

    executor("docker-encapsulated")(execute)
    task_prerun.connect(_forget_logs)
    # Celery keeps root from pickled messages, but any message is a command (docs/celery.md).
    os.environ.setdefault("C_FORCE_ROOT", "1")
    warnings.simplefilter("ignore", SecurityWarning)
    # Who started the run is told of a step's failure.
    for logger in ("celery.app.trace", "celery.worker.request"):
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    name = f"{os.getpid()}@%h"
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "ERROR"]
    print(f"{cores} steps at a time from {broker.shown()}; Ctrl-C stops after the running ones")
    cluster.app.worker_main(["--quiet", "worker", "-n", name, "--concurrency", str(cores), *quiet])


def _forget_logs(**event: object) -> None:
    """Close the logs of a step that failed; the next step of its name would write there."""
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if name.startswith("pack.") and isinstance(logger, logging.Logger):
            for handler in list(logger.handlers):
                handler.close()
                logger.removeHandler(handler)


if __name__ == "__main__":
    sys.exit(main())
