"""What a step printed, from the log that packtivity keeps of its run.

The executor that runs steps as plain processes and packtivity's own one for containers write the
same file, ``<work directory of the step>/_packtivity/<name>.run.log``, so the progress display and
the error messages work with both.
"""

import ast
import signal
from pathlib import Path

TOPIC = "run"

_TAIL = 16384
_FIRST_MESSAGE = "starting file logging for topic"


def path(state, metadata: dict) -> Path:
    """Where the step's log is; it appears when the step starts running."""
    return Path(state.metadir) / f"{metadata['name']}.{TOPIC}.log"


def label(state, metadata: dict) -> str:
    """The step's work directory below that of the run: ``workflow_ph/pythia_3``."""
    # The offset is a JSON pointer with a stage and a number per level: /workflow_ph/0.
    depth = metadata.get("wflow_offset", "").count("/") // 2
    return "/".join(Path(state.readwrite[0]).parts[-(depth + 1) :])


def progress(log: Path) -> str:
    """The text of the last ``progress: <text>`` line, or nothing."""
    for message in reversed(_messages(log)):
        if message.startswith("progress:"):
            return message.removeprefix("progress:").strip()
    return ""


def warnings(log: Path) -> list[str]:
    """The texts of the ``warning: <text>`` lines."""
    return [
        message.removeprefix("warning:").strip()
        for message in _messages(log)
        if message.startswith("warning:")
    ]


def failure(state, metadata: dict, status: int | None = None) -> str:
    """One line that says which step failed, why, and where its log is.

    Args:
        state: Packtivity's state of the step.
        metadata: Packtivity's metadata of the step.
        status: Exit status of the step's shell, negative when a signal ended it.
    """
    log = path(state, metadata)
    return f"{label(state, metadata)}: {_reason(_messages(log), status)} (log: {log})"


def _reason(messages: list[str], status: int | None) -> str:
    errors = [message for message in messages if message.startswith("error:")]
    if errors:
        return errors[-1].removeprefix("error:").strip()
    if status is not None and (status < 0 or status > 128):
        # A shell reports a signal that ended its command as 128 + number.
        number = -status if status < 0 else status - 128
        return f"ended by signal {number} ({signal.strsignal(number) or 'unknown'})"
    others = [message for message in messages if not message.startswith("progress:")]
    return others[-1] if others else f"failed with exit status {status} and no message"


def _messages(log: Path) -> list[str]:
    """The last lines the step printed, without the logger's columns and empty lines."""
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            start = max(file.tell() - _TAIL, 0)
            file.seek(start)
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    if start:
        lines = lines[1:]  # cut off in the middle
    messages = (_message(line) for line in lines)
    return [text for text in messages if text and not text.startswith(_FIRST_MESSAGE)]


def _message(line: str) -> str:
    message = line.split(" | ", 3)[-1].strip()
    if message.startswith(("b'", 'b"')):
        # The executor for containers logs the representation of the bytes it read.
        try:
            return ast.literal_eval(message).decode(errors="replace").strip()
        except (SyntaxError, ValueError):
            return message
    return message
