"""A run as an RO-Crate: ``ro-crate-metadata.json``, of the profile Provenance Run Crate.

Terms are those of https://w3id.org/ro/wfrun/provenance/0.5, which says what has to be there.
"""

import mimetypes
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

NAME = "ro-crate-metadata.json"
"""The crate's description in the work directory."""

_REPOSITORY = "https://github.com/madminer-tool/madminer-workflow"
_YADAGE = "https://github.com/yadage/yadage"
# The version of RO-Crate that the profiles below stand on.
_VERSION = "1.1"
_WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/provenance/0.5": ("Provenance Run Crate", "0.5"),
    _WORKFLOW_CRATE: ("Workflow RO-Crate", "1.0"),
}
_WORKFLOW_PROFILE = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
_TERMS = "https://w3id.org/ro/terms/workflow-run"
_COMPLETED = "http://schema.org/CompletedActionStatus"
_RUN, _LANGUAGE, _ENGINE = "#run", "#yadage", f"{_YADAGE}#engine"
_WORKFLOW = "specification.yml"
_LOGS = "/_packtivity/"
_ABOUT = {
    "parameters.yml": "values of the workflow's parameters",
    _WORKFLOW: "the workflow, all in one file",
    "steps.jsonl": "journal of the run, a line for each step",
    "yadage.log": "log of yadage-run",
}

Entity = dict[str, Any]


def write(workdir: Path, facts: Mapping[str, Any]) -> None:
    """Write the crate of a run into its work directory.

    Args:
        workdir: Work directory.
        facts: What :mod:`scripts.engine.resume.provenance` knows of the run.
    """
    # Takes a second.
    from rocrate.model.contextentity import ContextEntity
    from rocrate.rocrate import ROCrate

    crate = ROCrate(version=_VERSION)
    crate.metadata["conformsTo"] = _ids([crate.metadata.profile, _WORKFLOW_CRATE])
    crate.metadata.extra_contexts.append(f"{_TERMS}/context")
    places = {}
    for path, about in _files(workdir, facts):
        more = _workflow(facts) if path == _WORKFLOW else {}
        places[path] = crate.add_file(workdir / path, path, properties=about | more).id
    for entity in _entities(facts, places):
        identifier = entity.pop("@id")
        crate.add(ContextEntity(crate, identifier, properties=entity))
    for name, value in _root(facts).items():
        crate.root_dataset[name] = value
    crate.metadata.write(workdir)


def _files(workdir: Path, facts: Mapping[str, Any]) -> Iterator[tuple[str, Entity]]:
    """Yield the files of the crate and what is said of each."""
    signs = dict(facts["files"])
    for step in facts["steps"]:
        signs |= {f"{step['label']}/{name}": sign for name, sign in step["files"].items()}
    for path, sign in signs.items():
        # Links and empty folders are no files; Yadage's notes are its own.
        if re.fullmatch("[0-9a-f]{64}", sign) and not path.startswith("_yadage/"):
            about = {
                "name": path,
                "sha256": sign,
                "contentSize": str((workdir / path).stat().st_size),
                "encodingFormat": mimetypes.guess_type(path)[0] or "application/octet-stream",
            }
            yield path, about | ({"description": _ABOUT[path]} if path in _ABOUT else {})
    about = {"name": "provenance.json", "encodingFormat": "application/json"}
    yield "provenance.json", about | {"description": "the run, with packages, settings and code"}


def _root(facts: Mapping[str, Any]) -> Entity:
    actions = [_RUN, "#engine", *(_action(step) for step in facts["steps"])]
    return {
        "name": "Run of the MadMiner workflow",
        "description": "Simulated events, networks and limits, with how they came about.",
        # WorkflowHub's word for it: whoever made the results may choose one.
        "license": "notspecified",
        "datePublished": facts["ended"],
        "conformsTo": _ids(_PROFILES),
        "mainEntity": _id(_WORKFLOW),
        "mentions": _ids(actions),
    }


def _workflow(facts: Mapping[str, Any]) -> Entity:
    return {
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
        "name": "MadMiner workflow",
        "version": facts["code"]["version"],
        "url": _REPOSITORY,
        "license": "https://spdx.org/licenses/MIT",
        "conformsTo": _id(_WORKFLOW_PROFILE),
        "programmingLanguage": _id(_LANGUAGE),
        "input": _ids(f"#input/{name}" for name in facts["parameters"]),
        "hasPart": _ids(_tool(stage) for stage in _stages(facts)),
        "step": _ids(f"#step/{stage}" for stage in _stages(facts)),
    }


def _entities(facts: Mapping[str, Any], places: Mapping[str, str]) -> Iterator[Entity]:
    """Yield all that is no file."""
    for profile, (name, version) in _PROFILES.items():
        yield {"@id": profile, "@type": "CreativeWork", "name": name, "version": version}
    version = facts["packages"]["yadage"]
    about = {"name": "Yadage", "url": _YADAGE}
    yield {"@id": _LANGUAGE, "@type": "ComputerLanguage", "version": version} | about
    yield {"@id": _ENGINE, "@type": "SoftwareApplication", "softwareVersion": version} | about
    yield from _parameters(facts)
    for position, stage in enumerate(_stages(facts)):
        yield {
            "@id": _tool(stage),
            "@type": "SoftwareApplication",
            "name": stage,
            "url": _REPOSITORY,
            "softwareVersion": facts["code"]["version"],
        }
        yield {
            "@id": f"#step/{stage}",
            "@type": "HowToStep",
            "name": stage,
            "position": str(position),
            "workExample": _id(_tool(stage)),
        }
    yield from _images(facts)
    for step in facts["steps"]:
        yield _of_step(step, places)
        yield {
            "@id": f"#control/{step['label']}",
            "@type": "ControlAction",
            "name": f"orchestrate {step['label']}",
            "instrument": _id(f"#step/{step['stage']}"),
            "object": _id(_action(step)),
        }
    times = {"startTime": facts["started"], "endTime": facts["ended"], "actionStatus": _COMPLETED}
    yield times | {
        "@id": _RUN,
        "@type": "CreateAction",
        "name": "run of the MadMiner workflow",
        "description": f"steps as run by {facts['runtime']}",
        "instrument": _id(_WORKFLOW),
        "object": _ids(f"#value/{name}" for name in facts["parameters"]),
        "result": _ids(place for path, place in places.items() if _is_result(path, facts)),
    }
    yield times | {
        "@id": "#engine",
        "@type": "OrganizeAction",
        "name": "run of yadage-run",
        "description": "what started the steps in their order",
        "instrument": _id(_ENGINE),
        "object": _ids(f"#control/{step['label']}" for step in facts["steps"]),
        "result": _id(_RUN),
    }


def _parameters(facts: Mapping[str, Any]) -> Iterator[Entity]:
    for name, value in facts["parameters"].items():
        kind = {bool: "Boolean", int: "Integer", float: "Float"}.get(type(value), "Text")
        file = {"sha256": facts["inputs"][value]} if value in facts["inputs"] else {}
        yield {
            "@id": f"#input/{name}",
            "@type": "FormalParameter",
            "name": name,
            "additionalType": kind,
            "workExample": _id(f"#value/{name}"),
        }
        yield file | {
            "@id": f"#value/{name}",
            "@type": "PropertyValue",
            "name": name,
            "value": value,
            "exampleOfWork": _id(f"#input/{name}"),
        }


def _images(facts: Mapping[str, Any]) -> Iterator[Entity]:
    images = {step["image"]["name"]: step["image"] for step in facts["steps"] if "image" in step}
    for name, image in images.items():
        place, _, tag = name.rpartition(":")
        host, slash, rest = place.partition("/")
        # As container engines tell a registry from an owner.
        is_registry = slash and ("." in host or ":" in host or host == "localhost")
        digest = re.search("[0-9a-f]{64}", image["digest"])
        yield {
            "@id": f"#image/{name}",
            "@type": "ContainerImage",
            "additionalType": _id(f"{_TERMS}#DockerImage"),
            "registry": host if is_registry else "docker.io",
            "name": rest if is_registry else place,
            "tag": tag,
        } | ({"sha256": digest[0]} if digest else {})


def _of_step(step: Mapping[str, Any], places: Mapping[str, str]) -> Entity:
    image = {"containerImage": _id(f"#image/{step['image']['name']}")} if "image" in step else {}
    read = [it["path"].removeprefix("{workdir}/") for it in step["reads"].values()]
    objects = (place for path, place in places.items() if any(_is_below(path, r) for r in read))
    results = (p for path, p in places.items() if _is_own(path, step["label"]))
    return image | {
        "@id": _action(step),
        "@type": "CreateAction",
        "name": step["label"] + (" (done in an earlier run)" if step["kept"] else ""),
        "description": step["command"],
        "instrument": _id(_tool(step["stage"])),
        "object": _ids(objects),
        "result": _ids(results),
        "startTime": step["started"],
        "endTime": step["ended"],
        "actionStatus": _COMPLETED,
    }


def _is_below(path: str, place: str) -> bool:
    return path == place or path.startswith(f"{place}/")


def _is_own(path: str, label: str) -> bool:
    return _is_below(path, label) and _LOGS not in path


def _is_result(path: str, facts: Mapping[str, Any]) -> bool:
    return any(_is_own(path, step["label"]) for step in facts["steps"])


def _stages(facts: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(step["stage"] for step in facts["steps"]))


def _tool(stage: str) -> str:
    return f"{_REPOSITORY}#{stage}"


def _action(step: Mapping[str, Any]) -> str:
    return f"#action/{step['label']}"


def _id(identifier: str) -> dict[str, str]:
    return {"@id": identifier}


def _ids(identifiers: Iterable[str]) -> list[dict[str, str]] | dict[str, str]:
    ids = [_id(identifier) for identifier in identifiers]
    # The specification wants no lists of one.
    return ids[0] if len(ids) == 1 else ids
