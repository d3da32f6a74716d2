"""The structure of the code: layers of imports, docstrings of modules, sizes."""

from __future__ import annotations

import ast
import subprocess
import sysconfig
from itertools import filterfalse
from pathlib import Path

import pytest

import rjob

ROOT = Path(__file__).parent.parent
TESTS = sorted([*ROOT.glob("tests/**/*.py"), *ROOT.glob("plugins/*/tests/**/*.py")])
MODULES = sorted(
    [*ROOT.glob("rjob/**/*.py"), *ROOT.glob("plugins/*/rjob_*.py"), *ROOT.glob("plugins/*/rjob_*/**/*.py")]
)
OF_PLUGINS = sorted(ROOT.glob("plugins/*/**/*.py"))

MODULE_LINES = 500
FUNCTION_LINES = 60
TEST_LINES = 400


def test_imports_go_from_the_top_layers_to_the_lower_ones() -> None:
    linter = Path(sysconfig.get_path("scripts"), "lint-imports")
    ran = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_there_are_modules() -> None:
    """Check that the lists that the other tests go through hold modules of each kind."""
    assert {ROOT / "rjob/core/manager.py", ROOT / "plugins/rjob-openssh/rjob_openssh.py"} <= {*MODULES}
    assert {Path(__file__), ROOT / "tests/cli/test_json.py", *ROOT.glob("plugins/rjob-openssh/tests/*.py")} <= {*TESTS}
    assert {path for path in (*MODULES, *TESTS) if path.is_relative_to(ROOT / "plugins")} <= {*OF_PLUGINS}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_are_small_and_say_what_they_are(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    if text:
        doc = ast.get_docstring(tree)
        assert doc, "no docstring"
        assert doc.splitlines()[0].endswith("."), "the docstring's first line is no sentence"
    assert len(text.splitlines()) <= MODULE_LINES
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [node.name for node in functions if (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES]
    assert not long


def test_no_module_of_tests_is_long() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in TESTS}
    assert {path: length for path, length in lengths.items() if length > TEST_LINES} == {}


def test_plugins_use_public_names_only() -> None:
    """Check that plugins use only what a third party's plugin may use."""
    used = {str(path.relative_to(ROOT)): imports_of_rjob(path.read_text(encoding="utf-8")) for path in OF_PLUGINS}
    assert "rjob.transports.base.Transport" in set().union(*used.values())
    assert {path: names for path, found in used.items() if (names := {*filterfalse(is_public, found)})} == {}


def test_imports_of_every_form_are_found() -> None:
    text = """
import os, rjob.core
import rjob
import rjob.config as settings
from rjob import JobSpec, core
from rjob.runner import facts, launch
from rjob.transports.base import Target
from rjobs import x
def f():
    from rjob.core.manager import JobManager
"""
    found = imports_of_rjob(text)
    assert found == {
        *("rjob", "rjob.core", "rjob.config", "rjob.JobSpec", "rjob.runner.facts", "rjob.runner.launch"),
        *("rjob.transports.base.Target", "rjob.core.manager.JobManager"),
    }
    assert {*filter(is_public, found)} == {"rjob", "rjob.JobSpec", "rjob.transports.base.Target"}


def imports_of_rjob(text: str) -> set[str]:
    """Return the dotted names of what a module imports of rjob."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == "rjob"}


def is_public(name: str) -> bool:
    """Tell whether a dotted name of rjob is a public module, or in one."""
    modules = ("rjob.errors", "rjob.hookspecs", "rjob.transports.base", "rjob.testing")
    return name in {"rjob", *(f"rjob.{each}" for each in rjob.__all__)} or f"{name}.".startswith(
        tuple(f"{module}." for module in modules)
    )
