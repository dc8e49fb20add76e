"""The tests themselves: none breaks those that run after it in the same process."""

from __future__ import annotations

import importlib
import logging
import sys

from typer.testing import CliRunner


def test_a_command_that_configures_logging_does_not_close_what_pytest_captures() -> None:
    """As nbgrader does, after another test has imported TensorFlow."""
    importlib.import_module("absl.logging")
    captured = sys.stderr
    with CliRunner().isolation():
        logging.shutdown()
    assert not captured.closed
