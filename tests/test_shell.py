"""The runner's scripts: shellcheck's findings, and the headers and lengths of functions."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from world import need

from rjob.runner.posix import PARTS, RUNNER

POSIX = Path(__file__).parents[1] / "rjob" / "runner" / "posix"


EXCUSED = {
    "SC1007": "an empty value behind = is short, and the supervisor's text stays in memory",
    "SC1091": "the specification and the variables of a job are read from its folder",
    "SC2012": "ls is the last resort where there is no stat; the names are rjob's own",
    "SC2013": "the words that are looped over are numbers",
    "SC2015": "A && B || C: where A holds and B fails, C is what is wanted",
    "SC2016": "texts for other programs, which expand them themselves",
    "SC2030": "what is set in a subshell is for that alone",
    "SC2031": "likewise",
    "SC2034": "names that take a field's place when a line is read",
    "SC2088": "a tilde that the user wrote is looked for, not expanded",
    "SC2115": "the owner's folder is never empty; see rj_read_machine",
    "SC2154": "set by what check.sh holds",
    "SC2254": "a pattern is what that word is",
    "SC2317": "operations are called by their names",
}
"""The codes that shellcheck is told to ignore, each with the reason."""


THERE = {
    "SC1090": "the runner's own file",
    "SC2046": "a number",
    "SC2086": "words of a line are split, and no quote may be in what any login shell hands on",
}
"""Further codes to ignore in scripts that travel in an argument, all but the runner."""


@pytest.mark.shell
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["runner", "supervisor", "check", "bootstrap", "install"])
def test_the_scripts_are_checked(tmp_path: Path, name: str) -> None:
    checker = need("shellcheck")
    script = tmp_path / "script.sh"
    script.write_bytes(RUNNER.script if name == "runner" else (POSIX / f"{name}.sh").read_bytes())
    words = [
        checker,
        "-s",
        "sh",
        "-f",
        "gcc",
        "-e",
        ",".join(EXCUSED | ({} if name == "runner" else THERE)),
        str(script),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_supervisor_can_be_quoted() -> None:
    code = [line for line in (POSIX / "supervisor.sh").read_text().splitlines() if not line.startswith("#")]
    assert "'" not in "".join(code)


DEFINITION = re.compile(r"\s*(\w+)\(\)")


@pytest.mark.parametrize("part", [*PARTS, "check"])
def test_every_function_says_what_it_does(part: str) -> None:
    """Look for a comment before each function or behind its opening brace; a fault point (``#@``) is none."""
    lines = (POSIX / f"{part}.sh").read_text().splitlines()
    mute = [
        line
        for before, line in zip(["", *lines], lines, strict=False)
        if DEFINITION.match(line) and not before.startswith("# ") and not re.search(r"\(\) \{ # ", line)
    ]
    assert mute == []


@pytest.mark.parametrize("part", [*PARTS, "check"])
def test_no_function_is_longer_than_a_screen(part: str) -> None:
    lengths = lengths_of_functions((POSIX / f"{part}.sh").read_text())
    assert {name: length for name, length in lengths.items() if length > 50} == {}


def test_lengths_of_functions_are_counted() -> None:
    text = "rj_a() { :; }\n\n# B.\nrj_b() { # X\n\tif :; then\n\t\t:\n\tfi\n}\nrj_c() {\n" + "\t:\n" * 51 + "}\n"
    assert lengths_of_functions(text) == {"rj_a": 0, "rj_b": 3, "rj_c": 51}
    found = [name for part in PARTS for name in lengths_of_functions((POSIX / f"{part}.sh").read_text())]
    assert sorted(found) == sorted(set(re.findall(r"^[ \t]*(\w+)\(\)", RUNNER.script.decode(), re.MULTILINE)))


def lengths_of_functions(text: str) -> dict[str, int]:
    """Count the lines between the braces of each function; fail if the end of one is not found."""
    # What travels in an argument has a semicolon behind each command.
    lines = [line.removesuffix(";") for line in text.splitlines()]
    lengths = {}
    for number, line in enumerate(lines):
        if match := DEFINITION.match(line):
            # A function on one line ends there; another ends at the next brace that stands alone at the margin.
            lengths[match[1]] = 0 if line.endswith("}") else lines.index("}", number) - number - 1
    return lengths


def test_every_function_is_defined_once_and_called() -> None:
    script = RUNNER.script.decode()
    defined = re.findall(r"^(rj_\w+)\(\)", script, re.MULTILINE)
    assert sorted(defined) == sorted(set(defined))
    # Operations are called by their names.
    called = [name for name in defined if name.startswith("rj_op_") or len(re.findall(rf"\b{name}\b", script)) > 1]
    assert called == defined
