"""Everything that is checked about rjob, as nox sessions; ``.ci/run`` runs them all."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["lint", "types", "imports", "docs", "shell", "tests"]

PROJECT = nox.project.load_toml("pyproject.toml")
PLUGINS = sorted(str(path.parent) for path in Path("plugins").glob("*/pyproject.toml"))
# Two workers for each processor: the tests wait for processes more than they compute.
WORKERS = os.environ.get("RJOB_TEST_WORKERS", "4")
# What tells within seconds whether a change broke something.
QUICK = ["tests/unit", "tests/cli", "tests/runner/test_second_runner.py", "tests/runner/test_states.py"]


def install(session: nox.Session, *groups: str) -> None:
    """Install the project and its plugins as users get them, and what the groups name."""
    session.install(*nox.project.dependency_groups(PROJECT, *groups))
    # Without --force-reinstall an unchanged version number would keep yesterday's code in a reused environment.
    session.install("--force-reinstall", "--no-deps", ".", *[f"./{plugin}" for plugin in PLUGINS])
    session.install(*PROJECT["project"]["dependencies"])


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests against the installed project."""
    install(session, "test")
    session.run("pytest", "-n", WORKERS, "--dist", "worksteal", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install(*nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check types, strictly."""
    install(session, "types")
    session.run("mypy", *session.posargs)


@nox.session
def imports(session: nox.Session) -> None:
    """Check that imports go from the top layers to the lower ones only."""
    session.install(*nox.project.dependency_groups(PROJECT, "imports"))
    session.run("lint-imports", "--no-cache", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a warning is an error."""
    install(session, "docs")
    session.run("python", "docs/_tools/command_line.py", "--check")
    session.run(
        "sphinx-build", "-q", "-E", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html", *session.posargs
    )


@nox.session
def shell(session: nox.Session) -> None:
    """Check the runner's scripts with shellcheck."""
    install(session, "test")
    session.run("pytest", "-q", "-p", "no:xdist", "-m", "shell", "tests/test_shell.py", *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the tests and show which lines they run, in the processes that they start as well."""
    install(session, "test")
    session.install("coverage>=7.10")
    folder = Path(session.create_tmp()).resolve()
    settings = folder / "coveragerc"
    # The installed copy is the same code; programs leave with os._exit, and nothing may be lost then.
    settings.write_text(
        f"[run]\nsource_pkgs = rjob\nparallel = true\npatch = subprocess, _exit\ndata_file = {folder}/data\n"
        "[paths]\nsource =\n    rjob\n    */site-packages/rjob\n"
    )
    env = {"COVERAGE_PROCESS_START": str(settings)}
    session.run("coverage", "run", f"--rcfile={settings}", "-m", "pytest", "-n", WORKERS, *session.posargs, env=env)
    session.run("coverage", "combine", "-q", f"--rcfile={settings}")
    session.run("coverage", "report", f"--rcfile={settings}", "--skip-covered", "--sort=cover")


@nox.session
def oldest(session: nox.Session) -> None:
    """Run the tests with the oldest dependencies that the project allows."""
    install(session, "test")
    lowest = [re.sub(r">=([^,;]+).*", r"==\1", item) for item in PROJECT["project"]["dependencies"]]
    session.install(*lowest)
    session.run("pytest", "-n", WORKERS, *(session.posargs or QUICK))


@nox.session
def bench(session: nox.Session) -> None:
    """Measure how long the commands take."""
    install(session, "test")
    session.run("pytest", "-q", "-p", "no:xdist", "-m", "bench", "-s", *session.posargs)


@nox.session
def faults(session: nox.Session) -> None:
    """Kill, fill, remove, close and cut for minutes (RJOB_FAULT_SECONDS), and look at what becomes of jobs."""
    install(session, "test")
    seconds = os.environ.get("RJOB_FAULT_SECONDS", "300")
    session.run(
        "pytest", "-q", "-p", "no:xdist", "-s", "tests/faults", *session.posargs, env={"RJOB_FAULT_SECONDS": seconds}
    )


@nox.session
def build(session: nox.Session) -> None:
    """Build the distributions."""
    session.install("build")
    for project in (".", *PLUGINS):
        shutil.rmtree(Path(project, "dist"), ignore_errors=True)
        session.run("python", "-m", "build", project)
