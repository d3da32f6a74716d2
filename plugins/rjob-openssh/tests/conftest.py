"""Setup for the plugin's tests, before they are collected, and the hooks that they share with those of rjob."""

import sys
from pathlib import Path

import pytest
from skips import pytest_runtest_call, pytest_runtest_makereport, pytest_runtest_setup  # noqa: F401  (hooks)

# The tests must also run from a checkout in which the plugin is not installed.
sys.path.insert(0, str(Path(__file__).parents[1]))
pytest.register_assert_rewrite("rjob.testing.conformance")
