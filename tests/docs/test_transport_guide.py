"""The guide for authors of transports, followed in an empty folder: its plugin passes the conformance suite."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from rjob.testing.sshd import Sshd

GUIDE = Path(__file__).parents[2] / "docs/how-to/write-a-transport.md"
BLOCK = re.compile(r"^```\{(literalinclude|code-block)\} (\S+)\n((?::[^\n]*\n)*)(.*?)^```$", re.DOTALL | re.MULTILINE)


def included(path: Path, options: dict[str, str]) -> str:
    """Return the part of a file that a literalinclude shows."""
    lines = path.read_text().splitlines(keepends=True)
    assert set(options) <= {"caption", "language", "start-at", "end-before"}
    first = next(n for n, line in enumerate(lines) if options.get("start-at", "").strip("'") in line)
    end = options.get("end-before", "").strip("'")
    last = next((n for n, line in enumerate(lines) if end and n > first and end in line), len(lines))
    return "".join(lines[first:last])


def files() -> dict[str, str]:
    """Return every file that the guide names in a caption, joined from all blocks with that caption."""
    found: dict[str, str] = {}
    for kind, argument, head, body in BLOCK.findall(GUIDE.read_text()):
        options = dict(re.findall(r"^:([\w-]+): (.*)$", head, re.MULTILINE))
        if "caption" in options:
            shown = included(GUIDE.parent / argument, options) if kind == "literalinclude" else body.lstrip("\n")
            found[options["caption"]] = found.get(options["caption"], "") + shown
    return found


def test_the_guide_shows_whole_files() -> None:
    shown = files()
    plugin = GUIDE.parents[2] / "plugins/rjob-openssh"
    assert set(shown) == {"pyproject.toml", "rjob_openssh.py", "tests/test_conformance.py"}
    for name in ("rjob_openssh.py", "tests/test_conformance.py"):
        assert shown[name] == (plugin / name).read_text()
    told, real = (tomllib.loads(text) for text in (shown["pyproject.toml"], (plugin / "pyproject.toml").read_text()))
    assert told["build-system"] == real["build-system"]
    assert told["tool"] == real["tool"]
    assert told["project"].items() <= real["project"].items()


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_the_plugin_of_the_guide_passes_the_suite(tmp_path: Path, mode: str) -> None:
    Sshd(folder=tmp_path / "probe").start().stop()
    folder = tmp_path / "mine"
    for name, content in files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    count = "4[0-9]"
    if mode != "strict":  # strict is the default of pytest-asyncio
        # The mode decides how fixtures and tests are run. All are of one kind, so a few of them suffice.
        command += ["-o", f"asyncio_mode={mode}", "-k", "every_byte or exit_status"]
        count = "5"
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    done = subprocess.run(
        command,
        cwd=folder,
        env=env | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert re.search(rf"^{count} passed", done.stdout, re.MULTILINE), done.stdout
