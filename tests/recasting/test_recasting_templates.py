"""Templates, their files, and what is said of an analysis."""

import functools
import http.server
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import uproot

from steps.recasting import analysis, root_files
from steps.recasting.templates import Histogram, Template, scale_factor
from steps.stage.errors import InputError, SettingError

EDGES = np.array([0.0, 1.0, 3.0])


def histogram(*values: float) -> Histogram:
    return Histogram(EDGES, np.array(values), np.array(values) / 2)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "some.root"
    sides = {"scale": (histogram(3, 4), histogram(1, 2))}
    signal = {"h_mjj": Template(histogram(2, 3), sides), "h_mjj__sm": Template(histogram(1, 1))}
    root_files.write(path, signal, {"signal": {"name": "x"}})
    return path


def test_one_pb_at_one_inverse_femtobarn_is_a_thousand_events() -> None:
    assert scale_factor(1.0, 1.0, 1.0) == 1000.0
    # 20 events of weight one before cuts, 2 pb, half of them filtered, K = 1.5, 3/fb.
    assert scale_factor(2.0, 20.0, 3.0, 1.5, 0.5) == pytest.approx(2000 * 3 * 1.5 * 0.5 / 20)


def test_a_histogram_counts_weights_and_their_squares() -> None:
    x, weights = np.array([-1.0, 0.0, 0.5, 1.0, 3.0, 9.0]), np.arange(1.0, 7.0)
    found = Histogram.of(x, weights, EDGES)
    assert found.values.tolist() == [5, 9]
    assert found.variances.tolist() == [13, 41]
    scaled = found.scaled(10)
    assert scaled.values.tolist() == [50, 90]
    assert scaled.variances.tolist() == [1300, 4100]


def test_a_file_gives_back_what_was_written(written: Path) -> None:
    contents = root_files.Contents(str(written))
    assert contents.about == {"signal": {"name": "x"}}
    template = contents.template("h_mjj")
    np.testing.assert_array_equal(template.nominal.edges, EDGES)
    assert template.nominal.values.tolist() == [2, 3]
    assert template.nominal.variances.tolist() == [1, 1.5]
    assert set(template.variations) == {"scale"}
    assert template.side("scale", 0).tolist() == [3, 4]
    assert template.side("scale", 1).tolist() == [1, 2]
    assert template.side("other", 1).tolist() == [2, 3]
    assert not contents.template("h_mjj__sm").variations


def test_other_readers_see_bins_and_errors(written: Path) -> None:
    with uproot.open(written) as file:
        values, edges = file["h_mjj"].to_numpy()
        assert values.tolist() == [2, 3]
        np.testing.assert_array_equal(edges, EDGES)
        np.testing.assert_allclose(file["h_mjj"].errors(), np.sqrt([1, 1.5]))


def test_without_errors_they_are_roots_of_contents(tmp_path: Path) -> None:
    """As ROOT has it, of data that somebody else filled."""
    with uproot.recreate(tmp_path / "plain.root") as file:
        file["data"] = np.histogram([0.5, 0.5, 2.0], EDGES)
    nominal = root_files.Contents(str(tmp_path / "plain.root")).template("data").nominal
    assert nominal.values.tolist() == nominal.variances.tolist() == [2, 1]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def address(written: Path):
    """Address of the file's folder on a server."""
    handler = functools.partial(_Quiet, directory=str(written.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_file_is_read_at_its_address(address: str) -> None:
    contents = root_files.Contents(f"{address}/some.root")
    assert contents.template("h_mjj").nominal.values.tolist() == [2, 3]


def test_what_is_not_at_an_address_is_one_line(address: str) -> None:
    with pytest.raises(InputError, match=r"none\.root: cannot be fetched .*check the address"):
        root_files.Contents(f"{address}/none.root")
    with pytest.raises(InputError, match="cannot be fetched"):
        root_files.Contents("nothing://at.all/x.root")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """``None`` in ``sys.modules`` is to Python a module that is not installed."""
    monkeypatch.setitem(sys.modules, "fsspec_xrootd", None)
    with pytest.raises(InputError, match=r"^root://some//x\.root: .*install fsspec-xrootd where"):
        root_files.Contents("root://some//x.root")
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(InputError, match=r"^s3://some/x\.root: .*install s3fs where"):
        root_files.Contents("s3://some/x.root")


def test_broken_files_are_one_line(tmp_path: Path, written: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        root_files.Contents(str(tmp_path / "none.root"))
    (tmp_path / "broken.root").write_bytes(written.read_bytes()[:300])
    with pytest.raises(InputError, match="cannot be read as a ROOT file"):
        root_files.Contents(str(tmp_path / "broken.root"))
    with pytest.raises(InputError, match="has no histogram 'h'; choose from h_mjj"):
        root_files.Contents(str(written)).template("h")


@pytest.mark.parametrize(
    ("templates", "error"),
    [
        ({"h": Template(histogram(1, np.nan))}, "has NaN"),
        ({"h": Template(Histogram(EDGES, np.ones(2), -np.ones(2)))}, "negative variances"),
        ({"h": Template(histogram(1, 1)), "h__a__up": Template(histogram(1, 1))}, "give both"),
        (
            {
                "h": Template(histogram(1, 1)),
                **dict.fromkeys(
                    ("h__a__up", "h__a__down"),
                    Template(Histogram(np.array([0.0, 2.0, 3.0]), np.ones(2), np.ones(2))),
                ),
            },
            "other bins",
        ),
    ],
)
def test_histograms_that_say_nothing_are_one_line(templates, error: str, tmp_path: Path) -> None:
    root_files.write(tmp_path / "bad.root", templates, {})
    with pytest.raises(InputError, match=error):
        root_files.Contents(str(tmp_path / "bad.root")).template("h")


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: analysis.Analysis.read("x", "1", ""), "bins: '1' are not edges"),
        (lambda: analysis.Analysis.read("x", "1,1", ""), "edges that rise"),
        (lambda: analysis.Analysis.read("x", "1,a", ""), "are no numbers"),
        (lambda: analysis.Analysis.read("x", "1,nan", ""), "are no numbers"),
        (lambda: analysis.Analysis.read("z", "1,2", "").check(["x", "y"]), "choose from x, y"),
        (lambda: analysis.Analysis.read("x", "1,2", "z > 1").check(["x"]), "selection: 'z > 1'"),
        (lambda: analysis.Analysis.read("x", "1,2", "x >").check(["x"]), "selection: 'x >'"),
        (lambda: analysis.point("1", ["a", "b"]), "theta: '1' is not a value for each of a, b"),
        (lambda: analysis.positive("-1", "k_factor"), "k_factor: '-1' is no positive number"),
        (lambda: analysis.positive("one", "k_factor"), "k_factor: 'one' is no positive number"),
    ],
)
def test_mistakes_are_one_line(call, error: str) -> None:
    with pytest.raises(SettingError) as raised:
        call()
    assert error in str(raised.value)


def test_what_is_said_is_read() -> None:
    found = analysis.Analysis.read("x", "0, 1,2.5", " x > 1 ; y < 2;")
    assert found.edges.tolist() == [0, 1, 2.5]
    assert found.selections == ["x > 1", "y < 2"]
    assert analysis.point("", ["a", "b"]).tolist() == [0, 0]
    assert analysis.point("1, -2", ["a", "b"]).tolist() == [1, -2]
    assert analysis.positive("", "x") is None
    assert analysis.positive("2e3", "x") == 2000
