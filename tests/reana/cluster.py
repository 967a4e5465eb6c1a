"""A stand-in for a REANA cluster: its server's interface, and its engine, in one process.

It runs in the environment of reana-client. Requests and answers are validated against the OpenAPI
document that reana-commons carries; workflows are executed with the versions of Yadage and
Packtivity of REANA's engine, from the uploaded files alone, every job as a process or a container
that is given nothing but the workspace.

    python cluster.py FOLDER --runner process --python PYTHON --code FOLDER_OF_STEPS
    python cluster.py FOLDER --runner container

FOLDER gets ``address`` (of the server), ``invalid`` (requests and answers against the document) and
one folder per workflow: ``workspace/``, ``jobs/`` (log of each), ``engine.log``, ``state.json``.
The token is that of the environment variable REANA_ACCESS_TOKEN.
"""

import argparse
import base64
import datetime
import io
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import threading
import traceback
import urllib.parse
import zipfile
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path

from bravado_core.request import IncomingRequest, unmarshal_request
from bravado_core.response import OutgoingResponse, validate_response
from bravado_core.spec import Spec
from packtivity.asyncbackends import ExternalAsyncProxy
from packtivity.syncbackends import build_job, finalize_inputs, packconfig, publish
from reana_commons.yadage import yadage_load_from_workspace
from yadage.backends.packtivitybackend import PacktivityBackend
from yadage.steering_api import steering_ctx


class Cluster:
    """Workflows by name, and how their jobs are run."""

    def __init__(
        self,
        folder: Path,
        command: list,
        environment: dict,
        user: "int | None",
        tools: "dict[str, str]",
    ) -> None:
        """Take the words that go before a job's shell, and the user whose workspaces are.

        ``tools`` are folders of programs by a part of the names of images that have these.
        """
        self.folder, self.command, self.environment, self.user = folder, command, environment, user
        self.tools = tools
        self.specifications = {}
        self.pool = ThreadPoolExecutor(2)

    def latest(self, name: str) -> str:
        """Full name of a workflow given with or without its run number."""
        runs = [full for full in self.specifications if name in (full, full.rpartition(".")[0])]
        return runs[-1]

    def create(self, name: str, specification: dict) -> str:
        number = 1 + sum(full.rpartition(".")[0] == name for full in self.specifications)
        full = f"{name}.{number}"
        self.specifications[full] = specification
        for place in ("workspace", "jobs"):
            (self.folder / full / place).mkdir(parents=True)
        self.save(full, status="created", inputs=specification["inputs"])
        return full

    def state(self, name: str) -> dict:
        return json.loads((self.folder / name / "state.json").read_text())

    def save(self, name: str, **changes) -> None:
        file = self.folder / name / "state.json"
        known = json.loads(file.read_text()) if file.exists() else {}
        new = file.with_suffix(".new")
        new.write_text(json.dumps(known | changes))
        new.replace(file)

    def start(self, name: str, parameters: dict) -> None:
        self.save(name, status="running", run_started_at=now(), parameters=parameters)
        threading.Thread(target=self.execute, args=(name, parameters), daemon=True).start()

    def execute(self, name: str, parameters: dict) -> None:
        """Run a workflow as REANA's engine does."""
        place = self.folder / name
        workspace = str(place / "workspace")
        specification = self.specifications[name]
        handler = logging.FileHandler(place / "engine.log")
        handler.setFormatter(
            logging.Formatter("%(name)s | %(threadName)s | %(levelname)s | %(message)s")
        )
        logging.getLogger().addHandler(handler)
        try:
            loaded = yadage_load_from_workspace(workspace, specification, "")
            workflow = json.loads(json.dumps(loaded["workflow"]["specification"]))
            if self.user is not None:
                for path in [place / "workspace", *(place / "workspace").rglob("*")]:
                    os.chown(path, self.user, 0)
            os.umask(0o002)
            with steering_ctx(
                dataarg=workspace,
                dataopts={"initdir": workspace},
                initdata={**specification["inputs"]["parameters"], **parameters},
                visualize=False,
                updateinterval=1,
                loginterval=5,
                backend=PacktivityBackend(packtivity_backend=Jobs(self, name), backendopts={}),
                workflow_json=workflow,
            ):
                pass
            status = "finished"
        except BaseException:
            logging.getLogger("engine").exception("workflow failed")
            status = "failed"
        finally:
            logging.getLogger().removeHandler(handler)
        self.save(name, status=status, run_finished_at=now())

    def run(self, name: str, job: str, command: str, image: str) -> int:
        """Run one job; its log is in ``jobs``."""
        place = self.folder / name
        workspace = place / "workspace"
        with tempfile.TemporaryDirectory() as scratch, (place / "jobs" / job).open("w") as log:
            os.chmod(scratch, 0o1777)
            values = {"workspace": str(workspace), "image": image}
            words = [word.format(**values) for word in self.command]
            own = [tools for part, tools in self.tools.items() if part in image]
            path = os.pathsep.join([*own, self.environment["PATH"]])
            options = {"user": self.user, "group": 0, "extra_groups": []}
            if self.user is None or words:  # a container sees to that itself
                options = {}
            return subprocess.run(
                [*words, "sh", "-c", command],
                cwd=workspace,
                env=self.environment | {"TMPDIR": scratch, "PATH": path},
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,
                umask=0o022,
                **options,
            ).returncode


class Proxy(ExternalAsyncProxy):
    """What Yadage keeps of a job, and writes to its log at the end."""

    def details(self) -> dict:
        kept = {"jobproxy": self.jobproxy, "spec": self.spec, "resultdata": self.resultdata}
        return kept | {"statedata": self.statedata.json(), "pardata": self.pardata.json()}


class Jobs:
    """What Yadage asks for steps, as REANA's engine answers it."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster, self.name, self.config, self.running = cluster, name, packconfig(), {}
        self.count = 0

    def submit(self, spec, parameters, state, metadata):
        parameters, state = finalize_inputs(parameters, state)
        job = build_job(spec["process"], parameters, state, self.config)
        state.ensure()
        if self.cluster.user is not None:
            for path in (state.readwrite[0], *Path(state.readwrite[0]).parents):
                if self.cluster.folder / self.name / "workspace" in Path(path).parents:
                    os.chown(path, self.cluster.user, 0)
        if "command" in job:
            command = job["command"]
        else:
            script = base64.b64encode(job["script"].encode()).decode()
            command = f"echo {script}|base64 -d|{job['interpreter']}"
        environment = spec["environment"]
        image = f"{environment['image']}:{environment['imagetag']}"
        resources_ = {k: v for item in environment.get("resources", []) for k, v in item.items()}
        identifier = f"{self.count:03d}-{metadata['name']}"
        self.count += 1
        requests = {"image": image, "command": command, "resources": resources_}
        (self.cluster.folder / self.name / "jobs" / f"{identifier}.json").write_text(
            json.dumps(requests)
        )
        self.running[identifier] = self.cluster.pool.submit(
            self.cluster.run, self.name, f"{identifier}.log", command, image
        )
        return Proxy(
            jobproxy={"job_id": identifier}, spec=spec, pardata=parameters, statedata=state
        )

    def result(self, proxy):
        proxy.pardata, proxy.statedata = finalize_inputs(proxy.pardata, proxy.statedata)
        return publish(proxy.spec["publisher"], proxy.pardata, proxy.statedata, self.config)

    def ready(self, proxy) -> bool:
        return self.running[proxy.jobproxy["job_id"]].done()

    def successful(self, proxy) -> bool:
        return self.running[proxy.jobproxy["job_id"]].result() == 0

    def fail_info(self, proxy) -> str:
        return f"job {proxy.jobproxy['job_id']} failed"


def now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")


class Request(IncomingRequest):
    def __init__(self, path, query, headers, body) -> None:
        self.path, self.query, self.headers, self.body = path, query, headers, body
        self.form, self.files = {}, {}

    def json(self, **_):
        if self.headers.get("Content-Type") == "application/octet-stream":
            return self.body.decode("latin-1")
        return json.loads(self.body) if self.body else None


class Response(OutgoingResponse):
    def __init__(self, content: dict) -> None:
        self.content_type, self.headers = "application/json", {}
        self.text = json.dumps(content)
        self.raw_bytes = self.text.encode()

    def json(self, **_):
        return json.loads(self.text)


def operations(spec: Spec) -> list:
    """Pairs of a pattern of the path, with its method, and the operation."""
    found = []
    for resource in spec.resources.values():
        for operation in resource.operations.values():
            pattern = re.sub(r"\\?\{(\w+)\\?\}", r"(?P<\1>[^/]+)", operation.path_name)
            pattern = pattern.replace("(?P<file_name>[^/]+)", "(?P<file_name>.+)")
            found.append((operation.http_method.upper(), re.compile(f"^{pattern}$"), operation))
    return found


def serve(cluster: Cluster, token: str) -> None:
    document = resources.files("reana_commons") / "openapi_specifications/reana_server.json"
    spec = Spec.from_dict(json.loads(document.read_text()), config={"use_models": False})
    known = operations(spec)

    def complain(text: str) -> None:
        with (cluster.folder / "invalid").open("a") as file:
            file.write(text + "\n")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            address = urllib.parse.urlsplit(self.path)
            query = dict(urllib.parse.parse_qsl(address.query, keep_blank_values=True))
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = self.chunks()
            matches = [
                (operation, match)
                for method, pattern, operation in known
                if method == self.command and (match := pattern.match(address.path))
            ]
            if not matches:
                complain(f"{self.command} {address.path}: not in the document")
                return self.answer(404, {"message": "no such resource"})
            operation, match = matches[0]
            path = {k: urllib.parse.unquote(v) for k, v in match.groupdict().items()}
            try:
                values = unmarshal_request(Request(path, query, self.headers, body), operation)
            except Exception as error:
                complain(f"{operation.operation_id}: {error}")
                return self.answer(400, {"message": str(error)})
            if operation.operation_id != "ping" and values.get("access_token") != token:
                return self.answer(403, {"message": "wrong token"})
            try:
                status, content = getattr(Answers, operation.operation_id)(cluster, values, body)
            except Exception:
                complain(traceback.format_exc())
                return self.answer(500, {"message": "see the log of the stand-in"})
            if isinstance(content, dict):
                try:
                    described = operation.op_spec["responses"][str(status)]
                    validate_response(described, operation, Response(content))
                except Exception as error:
                    complain(f"answer of {operation.operation_id}: {error}")
            return self.answer(status, content)

        do_GET = do_POST = do_PUT = do_DELETE = handle_one

        def chunks(self) -> bytes:
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def answer(self, status: int, content) -> None:
            kind, headers = "application/json", {}
            if isinstance(content, dict):
                data = json.dumps(content).encode()
            else:
                name, data, kind = content
                headers["Content-Disposition"] = f"attachment; filename={name}"
            self.send_response(status)
            for key, value in {
                "Content-Type": kind,
                "Content-Length": len(data),
                **headers,
            }.items():
                self.send_header(key, str(value))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    new = cluster.folder / "address.new"
    new.write_text(f"http://127.0.0.1:{server.server_port}")
    new.replace(cluster.folder / "address")
    server.serve_forever()


class Answers:
    """Answers to the operations that the client uses, by their names in the document."""

    @staticmethod
    def ping(cluster, values, body):
        return 200, {"status": "200", "message": "OK"}

    @staticmethod
    def get_you(cluster, values, body):
        return 200, {"email": "emmy@example.org", "reana_server_version": "0.9.4"}

    @staticmethod
    def info(cluster, values, body):
        backends = {
            "title": "compute backends",
            "value": ["kubernetes", "htcondorcern", "slurmcern"],
        }
        places = {"title": "workspaces", "value": ["/var/reana"]}
        return 200, {"compute_backends": backends, "workspaces_available": places}

    @staticmethod
    def create_workflow(cluster, values, body):
        name = cluster.create(values["workflow_name"], values["reana_specification"])
        return 201, {"message": "created", "workflow_id": name, "workflow_name": name}

    @staticmethod
    def get_workflow_specification(cluster, values, body):
        name = cluster.latest(values["workflow_id_or_name"])
        specification = json.loads(json.dumps(cluster.specifications[name]))
        return 200, {"specification": specification, "parameters": {}}

    @staticmethod
    def get_workflow_parameters(cluster, values, body):
        name = cluster.latest(values["workflow_id_or_name"])
        inputs = cluster.specifications[name]["inputs"]
        kind = {"type": "yadage", "id": name, "name": name}
        return 200, kind | {"parameters": inputs["parameters"]}

    @staticmethod
    def upload_file(cluster, values, body):
        name = cluster.latest(values["workflow_id_or_name"])
        path = cluster.folder / name / "workspace" / values["file_name"].strip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        return 200, {"message": "uploaded"}

    @staticmethod
    def start_workflow(cluster, values, body):
        name = cluster.latest(values["workflow_id_or_name"])
        given = (values.get("parameters") or {}).get("input_parameters") or {}
        cluster.start(name, given)
        about = {"workflow_id": name, "workflow_name": name, "user": "emmy"}
        return 200, about | {"message": "started", "status": "pending"}

    @staticmethod
    def get_workflow_status(cluster, values, body):
        name = cluster.latest(values["workflow_id_or_name"])
        state = cluster.state(name)
        jobs = list((cluster.folder / name / "jobs").glob("*.json"))
        counts = {"total": len(jobs), "job_ids": [path.stem for path in jobs]}
        none = {"total": 0, "job_ids": []}
        progress = {
            "total": counts,
            "finished": counts if state["status"] == "finished" else none,
            "failed": none,
            "running": none,
            "current_command": None,
            "current_step_name": None,
            "run_started_at": state.get("run_started_at"),
            "run_finished_at": state.get("run_finished_at"),
        }
        about = {"id": name, "name": name, "user": "emmy", "created": now(), "logs": "{}"}
        return 200, about | {"status": state["status"], "progress": progress}

    @staticmethod
    def download_file(cluster, values, body):
        name = cluster.latest(values["workflow_id_or_name"])
        workspace = cluster.folder / name / "workspace"
        pattern = values["file_name"]
        place = workspace / pattern
        found = sorted(place.rglob("*") if place.is_dir() else workspace.glob(pattern))
        files = [path for path in found if path.is_file()]
        if not files:
            return 404, {"message": f"{pattern} does not exist."}
        if len(files) == 1 and not place.is_dir():
            relative = files[0].relative_to(workspace)
            return 200, (relative, files[0].read_bytes(), "application/octet-stream")
        memory = io.BytesIO()
        with zipfile.ZipFile(memory, "w") as archive:
            for path in files:
                archive.write(path, path.relative_to(workspace))
        zipped = f"download_{name}_{place.name.replace('*', '_')}.zip"
        return 200, (zipped, memory.getvalue(), "application/zip")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runner", choices=["process", "container"], required=True)
    parser.add_argument("--python", help="interpreter of the steps, for processes")
    parser.add_argument(
        "--tools",
        nargs=2,
        action="append",
        default=[],
        metavar=("IMAGE", "FOLDER"),
        help="a part of an image's name, and the folder of its interpreter, for processes",
    )
    parser.add_argument("--code", help="folder that holds the package of the steps")
    parser.add_argument("--user", type=int, help="user of jobs and workspaces, if not this one")
    options = parser.parse_args()
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    command = []
    if options.runner == "process":
        tools = str(Path(options.python).parent)
        environment |= {"PATH": f"{tools}:{environment['PATH']}", "PYTHONPATH": options.code}
        environment |= {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    else:
        command = ["docker", "run", "--rm", "--network", "none", "--user", f"{options.user}:0"]
        command += ["--read-only", "--tmpfs", "/tmp", "--volume", "{workspace}:{workspace}"]
        command += ["--workdir", "{workspace}", "{image}"]
    tools = dict(options.tools)
    cluster = Cluster(options.folder.resolve(), command, environment, options.user, tools)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    serve(cluster, os.environ["REANA_ACCESS_TOKEN"])


if __name__ == "__main__":
    main()
