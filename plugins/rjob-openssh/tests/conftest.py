"""Setup for the plugin's tests, before they are collected."""

import sys
from pathlib import Path

import pytest

# The tests must also run from a checkout in which the plugin is not installed.
sys.path.insert(0, str(Path(__file__).parents[1]))
pytest.register_assert_rewrite("rjob.testing.conformance")
