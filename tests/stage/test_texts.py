"""Reading what users wrote: one line for what is no text, no YAML, or too much of it."""

from pathlib import Path

import pytest

from steps.stage.errors import InputError
from steps.stage.texts import TextError, parse_yaml, read_text, read_yaml

LAUGHS = "\n".join(
    ["a0: &a0 [1, 1]"] + [f"a{k}: &a{k} [*a{k - 1}, *a{k - 1}]" for k in range(1, 40)]
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [", "line 1: "),
        ("a: 1\nb: 2\na: 3", "line 3: key 'a' appears twice; mend the YAML"),
        ("a: {b: 1, b: 2}", "line 1: key 'b' appears twice"),
        ("a: &a [*a]", "holds too much"),
        ("a: &a {b: *a}", "holds too much"),
        (LAUGHS, "holds too much"),
        ("a: " + "[" * 3000, "nested too deeply"),
        ("a: " + "[" * 30 + "]" * 30, "holds too much"),
        ("a: 1" + "0" * 5000, "put it in quotes"),
        ("a: 1" + "0" * 400, "a: is too large a number"),
        ("a: .nan", "a: nan; give a finite number"),
        ("a: 2020-01-01", "a: is a date"),
        ("a: 2020-13-45", "put it in quotes"),
        ("a: !!set {b, c}", "a: is a date, or a kind of value that is not used"),
        ("a: !!bool maybe", "put it in quotes"),
        ("a: !!int ''", "put it in quotes"),
        ("a: !!timestamp x", "put it in quotes"),
        ("a: !!python/object/apply:os.system [exit 1]", "line 1: could not determine"),
        ("2020-01-01: a", "key 2020-01-01 is not text to YAML; put it in quotes"),
        ('a: "\\ud800"', "a: has characters that are no text; remove them"),
        ('"a\\0": 1', "is not text; remove odd characters"),
        ("a: \x07", "is not YAML: special characters are not allowed; mend the YAML"),
        ("<<: 3", "line 1: expected a mapping"),
    ],
)
def test_what_is_not_plain_yaml_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "input.yml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_yaml(path)
    line = str(error.value)
    assert line.startswith(f"{path}: ")
    assert expected in line
    assert line.isprintable()
    assert "; " in line


def test_aliases_and_merge_keys_work() -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\nc: *a"
    assert parse_yaml(text) == {"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 2}, "c": {"x": 1, "y": 2}}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\xff\xfea\x00", "is not text in UTF-8"),
        (b"a: 1\x00", "it has zero bytes"),
        (b"y" * 1_000_001, "is longer than 1000000 characters"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "card"
    path.write_bytes(content)
    with pytest.raises(TextError, match=expected):
        read_text(path)


def test_files_without_an_end_are_refused() -> None:
    with pytest.raises(TextError):
        read_text(Path("/dev/zero"))


@pytest.mark.parametrize("text", ["a\nb", "a\x1b[31mb", "a\u2028b", "a\ud800b", "a\x00b", "é b"])
def test_an_error_is_one_line_whatever_the_user_wrote(text: str) -> None:
    assert str(InputError(text)).isprintable()


def test_of_a_long_error_both_ends_are_kept() -> None:
    line = str(InputError(f"file: key: {'x' * 10_000}; remedy"))
    assert len(line) < 700
    assert line.startswith("file: key: x")
    assert line.endswith("x; remedy")
