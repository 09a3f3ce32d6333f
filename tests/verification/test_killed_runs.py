"""Runs that are killed at random times: the old result or the new one, and nothing half-written."""

# ruff: noqa: F811 (fixtures)
from test_cli import here  # noqa: F401
from test_results_are_whole import kill_runs


def test_many_killed_runs(pytestconfig):
    """More of them with ``--kills=N``."""
    kill_runs(pytestconfig.getoption("kills"))
