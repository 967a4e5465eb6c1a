"""Why a step has to run: what is not as it was when it ran last."""

from collections.abc import Iterator, Mapping
from typing import Any

from scripts.engine.resume.keys import Key
from scripts.engine.resume.store import Record

_MOST = 3


def reasons(before: Record | None, now: Key, *, always: bool, fresh: bool) -> list[str]:
    """Return why a step has to run, a few words for each reason.

    Args:
        before: The step that ran last under the same name, if it is known.
        now: What the step depends on.
        always: Whether it always runs.
        fresh: Whether all steps are asked to.
    """
    if always:
        return ["always, as it reads the files that the input names"]
    if before is None:
        return ["not done yet"]
    changed = list(_changed(before, now))
    if not changed:
        return ["asked for by FRESH=1"] if fresh else ["its files are gone, or not as it left them"]
    return changed


def _changed(before: Record, now: Key) -> Iterator[str]:
    old, new = before.used(before.key.settings), before.used(now.settings)
    settings = list(_differences(old, new))
    if settings:
        yield f"settings: {_few(settings)}"
    then = before.key
    if then.command != now.command:
        yield "its command or a parameter of it"
    inputs = sorted({name.split("/")[0] for name in _differences(then.inputs, now.inputs)})
    if inputs:
        yield f"input: {_few(inputs)}"
    code = list(_differences(then.code, now.code))
    if code:
        yield f"code: {_few(code)}"
    if then.packages != now.packages:
        yield "installed packages"


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*old, *new}):
        one, other = old.get(name), new.get(name)
        if one == other:
            continue
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from (f"{name}: {inner}" for inner in _differences(one, other))
        else:
            yield name


def _few(names: list[str]) -> str:
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return ", ".join(names[:_MOST]) + more
