"""Plug-in of ``yadage-run`` that keeps ``--visualize`` from costing a run.

Yadage draws the graph of a run when all steps are done, with graphviz's ``dot`` and ImageMagick's
``convert``; where one of them is missing, it calls the whole run failed. With this module no
picture is a reason to fail, the animation needs no ImageMagick, and one line says what is missing.
"""

import contextlib
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adage import trackers
from adage import visualize as frames
from yadage.steering_object import YadageSteering

_PROGRAM = "dot"
_FORMATS = ("png", "pdf")
_FRAME_MS = 500


def draw(self: YadageSteering) -> None:
    """Draw the steps and the files they passed on, below the run's ``_yadage``.

    The graph is written as text too, which can be drawn later and elsewhere.
    """
    text = Path(self.metadir) / "yadage_workflow_instance.dot"
    with _never_fatal(text):
        from yadage.visualize import provdotgraph

        text.write_text(provdotgraph(self.workflow).to_string())
        if shutil.which(_PROGRAM) is None:
            later = shlex.join([_PROGRAM, "-Tpdf", "-O", str(text)])
            _warn(f"graphviz is not installed, so nothing was drawn; with it, draw by '{later}'")
            return
        for kind in _FORMATS:
            command = [_PROGRAM, f"-T{kind}", str(text)]
            picture = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
            text.with_suffix(f".{kind}").write_bytes(picture)


class Animation(trackers.GifTracker):
    """How the graph grew and was worked off, as ``workflow.gif``."""

    def finalize(self, adageobj: Any) -> None:
        """Draw the frames and join them; nothing without graphviz, which ``draw`` reports."""
        if shutil.which(_PROGRAM) is None:
            return
        with _never_fatal(self.gifname), tempfile.TemporaryDirectory() as folder:
            # Comes with matplotlib; only this needs it.
            from PIL import Image

            for number in range(self.frames + 1):
                moment = number / self.frames
                frames.print_dag(adageobj.dag, f"{number:03}", folder, time=moment)
            first, *others = [Image.open(path) for path in sorted(Path(folder).iterdir())]
            first.save(
                self.gifname, save_all=True, append_images=others, duration=_FRAME_MS, loop=0
            )


@contextlib.contextmanager
def _never_fatal(picture: Path | str) -> Iterator[None]:
    # Whatever goes wrong with a picture, hours of steps may lie behind it.
    try:
        yield
    except Exception as error:
        _warn(f"{picture}: not drawn: {' '.join(str(error).split())}")


def _warn(message: str) -> None:
    print(f"warning: --visualize: {message}", file=sys.stderr, flush=True)


# Yadage and adage look both up when they are about to draw.
YadageSteering.visualize = draw
trackers.GifTracker = Animation
