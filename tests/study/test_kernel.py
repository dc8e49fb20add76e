"""`%check` in a kernel as JupyterLab starts it: cell ids, and the stop button."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import start_new_kernel
from studying import RIGHT, SETUP, make_course

SECONDS = 120  # until something has gone wrong


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[BlockingKernelClient]:
    manager, client = start_new_kernel(cwd=str(make_course(tmp_path)))
    client.manager = manager
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def send(kernel: BlockingKernelClient, source: str, cell_id: str = "mine") -> str:
    """Sends a cell with its id, as JupyterLab does; returns the request's id."""
    content = {"code": source, "silent": False, "store_history": True, "stop_on_error": True}
    message = kernel.session.msg("execute_request", content, metadata={"cellId": cell_id})
    kernel.shell_channel.send(message)
    return str(message["header"]["msg_id"])


def displayed(kernel: BlockingKernelClient, request: str) -> str:
    """The plain text of all that the request displays; waits for its end."""
    found = []
    while True:
        message = kernel.get_iopub_msg(timeout=SECONDS)
        if message["parent_header"].get("msg_id") != request:
            continue
        if message["msg_type"] == "display_data":
            found.append(message["content"]["data"]["text/plain"])
        assert message["msg_type"] != "error", message["content"]["traceback"]
        if message["content"].get("execution_state") == "idle":
            return "\n".join(found)


def run(kernel: BlockingKernelClient, source: str, cell_id: str = "mine") -> str:
    return displayed(kernel, send(kernel, source, cell_id))


def test_the_stop_button_ends_a_check_and_the_kernel_goes_on(
    kernel: BlockingKernelClient, tmp_path: Path
) -> None:
    run(kernel, "%load_ext autograder")
    run(kernel, SETUP, "setup")
    begun = tmp_path / "begun"
    endless = (
        "import pathlib\ndef scale(values, width):\n"
        f"    pathlib.Path({str(begun)!r}).touch()\n    while True:\n        pass"
    )
    run(kernel, endless, "scale")
    request = send(kernel, "%check")
    deadline = time.monotonic() + SECONDS
    while not begun.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    kernel.manager.interrupt_kernel()
    said = displayed(kernel, request)
    assert "not run: Stopped while this check ran." in said
    assert "This was not counted as an attempt." in said
    run(kernel, RIGHT, "scale")
    assert "All checks pass." in run(kernel, "%check")
