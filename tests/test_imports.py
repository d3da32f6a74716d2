"""The structure of the code: layers of imports, docstrings of modules, sizes."""

from __future__ import annotations

import ast
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TESTS = sorted([*ROOT.glob("tests/**/*.py"), *ROOT.glob("plugins/*/tests/**/*.py")])
MODULES = sorted([*ROOT.glob("rjob/**/*.py"), *ROOT.glob("plugins/*/rjob_*/**/*.py")])

MODULE_LINES = 500
FUNCTION_LINES = 60
TEST_LINES = 400


def test_imports_go_from_the_top_layers_to_the_lower_ones() -> None:
    linter = Path(sysconfig.get_path("scripts"), "lint-imports")
    ran = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_there_are_modules() -> None:
    assert len(MODULES) > 10


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
    public = {"rjob", "rjob.errors", "rjob.hookspecs", "rjob.transports.base", "rjob.testing"}
    for path in ROOT.glob("plugins/*/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "rjob":
                module = node.module or ""
                assert module in public or module.startswith("rjob.testing."), f"{path}: {module}"
