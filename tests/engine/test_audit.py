"""The look-up of pins in a database of vulnerabilities, with a stand-in for it on this machine."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from scripts import audit

# What the stand-in knows: by package and version, pages of names.
KNOWN = {("jinja2", "2.4.1"): [["PYSEC-1", "GHSA-2"], ["PYSEC-3"]], ("torch", "1.0"): [["CVE-4"]]}


def answer(queries: list[dict[str, Any]]) -> Any:
    """Answer as OSV does: https://google.github.io/osv.dev/post-v1-querybatch/."""
    results = []
    for query in queries:
        assert query["package"]["ecosystem"] == "PyPI"
        pages = KNOWN.get((query["package"]["name"], query["version"]), [[]])
        page = int(query.get("page_token", 0))
        names = [{"id": name, "modified": "2024-01-01T00:00:00Z"} for name in pages[page]]
        more = {"next_page_token": str(page + 1)} if page + 1 < len(pages) else {}
        results.append(({"vulns": names} if names else {}) | more)
    return {"results": results}


@pytest.fixture
def service() -> Iterator[Callable[[Callable[[list], Any] | int], str]]:
    """Start a service that answers so, or with a status; return its address."""
    servers = []

    def start(reply: Callable[[list], Any] | int) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                queries = json.loads(self.rfile.read(length))["queries"]
                assert self.path == "/v1/querybatch"
                body = b"" if isinstance(reply, int) else json.dumps(reply(queries)).encode()
                self.send_response(reply if isinstance(reply, int) else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        servers.append(HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def run(tmp_path: Path, monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    def audited(address: str, **files: str) -> tuple[int, str, str]:
        for name, content in files.items():
            (tmp_path / f"{name}.txt").write_text(content)
        argv = ["audit", "--service", address, "--folder", str(tmp_path)]
        monkeypatch.setattr("sys.argv", argv)
        status = audit.main()
        return status, *capsys.readouterr()

    return audited


def test_nothing_known(service, run) -> None:
    text = "# comment\nsix==1.17.0\ntorch==2.0+cpu ; python_version < '3.12'\n\n"
    assert run(service(answer), run=text) == (0, "2 packages, 0 with known vulnerabilities\n", "")


def test_known_vulnerabilities_fail_and_are_told(service, run) -> None:
    """All pages of them, and in which files the packages are."""
    files = {"run": "jinja2==2.4.1\nsix==1.17.0\n", "test": "jinja2==2.4.1\ntorch==1.0\n"}
    status, out, err = run(service(answer), **files)
    assert (status, err) == (1, "")
    assert out.splitlines() == [
        "jinja2 2.4.1 (run.txt, test.txt): PYSEC-1, GHSA-2, PYSEC-3",
        "torch 1.0 (test.txt): CVE-4",
        "3 packages, 2 with known vulnerabilities",
    ]


@pytest.mark.parametrize(
    "line",
    ["six", "six>=1", "six==1.*", "six==1,<2", "-r other.in", "git+https://x/y", "six===1", "-e ."],
)
def test_what_is_not_pinned_fails(service, run, line: str) -> None:
    status, out, err = run(service(answer), run=f"torch==2.0\n{line}\n")
    assert (status, out) == (1, "")
    assert err == f"error: run.txt:2: {line}: pins no version; run 'make lock'\n"


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (500, "does not answer (HTTP Error 500"),
        (404, "does not answer (HTTP Error 404"),
        (lambda queries: {"results": []}, "answers something else"),
        (lambda queries: {"results": ["x"]}, "answers something else"),
        (lambda queries: {"results": [{"vulns": [{}]}]}, "answers something else"),
        (lambda queries: [1], "answers something else"),
        (lambda queries: "x", "answers something else"),
        (lambda queries: {"results": [{"next_page_token": "1"}]}, "its answer does not end"),
    ],
)
def test_a_service_that_does_not_answer_is_no_success(service, run, reply, expected: str) -> None:
    status, out, err = run(service(reply), run="six==1.17.0\n")
    assert (status, out, err.count("\n")) == (audit.UNKNOWN, "", 1)
    assert expected in err
    assert "nothing is known about 1 packages" in err


def test_an_absent_service_is_no_success(service, run) -> None:
    status, out, err = run("http://127.0.0.1:9", run="six==1.17.0\n")
    assert (status, out, err.count("\n")) == (audit.UNKNOWN, "", 1)


def test_our_pins_are_exact() -> None:
    found, loose = audit.pins(audit.ROOT / "requirements")
    assert loose == []
    names = {name for name, _ in found}
    assert {"torch", "madminer", "reana-client", "mlflow", "celery"} <= names
