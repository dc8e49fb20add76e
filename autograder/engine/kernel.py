"""One warm kernel: nbclient with a deadline that holds, output that is cut, and calls.

The student's cells run here, and so do the judge's calls into their code. What comes out is not
trusted: a kernel that does not keep to Jupyter's protocol is one that has died.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode

from autograder.engine import wire
from autograder.engine.clock import Clock
from autograder.engine.fork import ForkServer, process_environment
from autograder.engine.inside.remote import PRINT_VARIABLE
from autograder.engine.options import GRACE_SECONDS, Limits
from autograder.engine.provisioner import warm_kernel_manager
from autograder.results import Code, Outcome, Remark
from autograder.sandbox.confine import MEMORY_EXCEEDED, Isolation

_SERVE = "from autograder.engine.inside.remote import serve as _serve; _serve()"
_MESSAGES = frozenset(
    [
        *("stream", "display_data", "update_display_data", "execute_result", "error"),
        *("clear_output", "status"),
    ]
)
# The first of these is kept although it comes after too much text.
_ENDINGS = frozenset(["execute_result", "error"])
_ENDING_BYTES = 2**16
_SILENT = logging.getLogger("autograder.silent")
_SILENT.setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True)
class CellEnd:
    """How a cell's execution ended.

    Attributes:
        killed: the outcome if the kernel did not survive it.
        note: what the report says about it, if there is anything to say.
    """

    killed: Outcome | None = None
    note: Remark | None = None


class Kernel(NotebookClient):
    """One warm kernel.

    Attributes:
        position: the cells before it have run in this kernel.
    """

    km: AsyncKernelManager | None
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def __init__(self, notebook: NotebookNode, limits: Limits, folder: Path, clock: Clock):
        km = warm_kernel_manager(folder)
        # nbclient puts a cell that it has run into its notebook; calls need a place of their own.
        cells = [*notebook.cells, nbformat.v4.new_code_cell(_SERVE)]
        own = NotebookNode({**notebook, "cells": cells})
        super().__init__(own, km=km, allow_errors=True, timeout=None)
        self.log = km.log = _SILENT  # what they would log is in the report
        self.limits = limits
        self.clock = clock
        self.folder = folder
        self.position = 0
        self.raise_on_iopub_timeout = False
        self.iopub_timeout = 30  # seconds for outputs still on their way when a cell has ended
        self.printed = 0
        self.has_ended_itself = False  # because it has printed too much (inside/server.py)
        self.flooded = asyncio.Event()

    @classmethod
    async def start(
        cls,
        server: ForkServer,
        notebook: NotebookNode,
        limits: Limits,
        clock: Clock,
        files: Mapping[str, bytes],
    ) -> Kernel:
        """A kernel that is ready for the notebook's first cell.

        Args:
            files: what lies in the folder that it runs in, by relative path.
        """
        folder = server.new_folder()
        work = folder / "work"
        if files or server.isolation is Isolation.NONE:
            work.mkdir()
        for name, content in files.items():
            path = work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        kernel = cls(notebook, limits, folder, clock)
        ours, theirs = socket.socketpair()
        kernel.reader, kernel.writer = await asyncio.open_unix_connection(sock=ours)
        try:
            with theirs:
                await kernel.async_start_new_kernel(
                    server=server,
                    folder=folder,
                    cwd=str(work),
                    env={
                        **process_environment(limits.threads),
                        PRINT_VARIABLE: f"{limits.output_bytes} {limits.flood_bytes}",
                    },
                    channel=theirs,
                    resources=limits.resources,
                )
            await kernel.async_start_new_kernel_client()
            assert kernel.km is not None
            clock.watch.watch(*server.find(kernel.km.provisioner.process))
        except BaseException:
            await kernel.stop()
            raise
        return kernel

    async def run(self, index: int, cell: NotebookNode) -> CellEnd:
        """Runs one cell."""
        self.printed, self.has_ended_itself = 0, False
        self.flooded.clear()
        left = self.clock.left  # for this cell and all that follow
        seconds = min(self.limits.cell_seconds or left, left)
        execution = asyncio.ensure_future(self.async_execute_cell(cell, index))
        flood = asyncio.ensure_future(self.flooded.wait())
        note = None
        try:
            await self.clock.wait({execution, flood}, seconds)
            if not execution.done():
                note = (
                    Remark.of(Code.CELL_PRINTS_TOO_MUCH, mebibytes=self.printed >> 20)
                    if self.flooded.is_set()
                    else Remark.of(Code.CELL_TOO_LONG, seconds=round(seconds))
                )
                await self.interrupt()
                if not await self.clock.wait({execution}, GRACE_SECONDS):
                    return CellEnd(Outcome.TIMED_OUT, note)
            await execution
            if note is None and self.has_ended_itself:
                mebibytes = self.limits.flood_bytes >> 20
                note = Remark.of(Code.CELL_PRINTS_TOO_MUCH, mebibytes=mebibytes)
            return CellEnd(None, note)
        except (MemoryError, OSError):
            raise
        except Exception:  # it died, or does not keep to Jupyter's protocol: student code may forge
            memory = await self.exit_status() == MEMORY_EXCEEDED
            killed = Outcome.OUT_OF_MEMORY if memory else Outcome.KERNEL_DIED
            return CellEnd(killed, note)
        finally:
            flood.cancel()
            execution.cancel()
            await asyncio.gather(flood, execution, return_exceptions=True)

    async def serve(self) -> Outcome | None:
        """Has the kernel answer calls; ends when it stops doing so."""
        self.printed = 0
        cell = nbformat.v4.new_code_cell(_SERVE)
        try:
            await self.async_execute_cell(cell, len(self.nb.cells) - 1, store_history=False)
        except (MemoryError, OSError):
            raise
        except Exception:
            return Outcome.KERNEL_DIED
        return None

    async def exchange(self, request: bytes) -> bytes:
        """Sends a call and waits for its reply.

        Raises:
            OSError, EOFError: if the kernel does not keep to the protocol.
        """
        wire.write_frame(self.writer, request)
        await self.writer.drain()
        return await wire.read_frame(self.reader)

    def end_serving(self) -> None:
        """Tells `serve`, in the kernel, that no more calls come.

        Raises:
            OSError: if the kernel is gone.
        """
        wire.write_frame(self.writer, b"")

    async def interrupt(self) -> None:
        """Raises KeyboardInterrupt in what the kernel runs."""
        assert self.km is not None
        await self.km.interrupt_kernel()

    async def exit_status(self) -> int | None:
        """How the kernel's process ended; None if it does not, although it is about to."""
        provisioner = self.km.provisioner if self.km is not None else None
        for _ in range(20):  # the news may take a moment
            if provisioner is None or (status := await provisioner.poll()) is not None:
                break
            await asyncio.sleep(0.1)
        return None if provisioner is None else status

    def process_message(
        self, msg: dict[str, Any], cell: NotebookNode, cell_index: int
    ) -> NotebookNode | None:
        """Lets a message through unless the cell has printed too much already."""
        if msg["msg_type"] not in _MESSAGES:
            return None  # comm_msg and the like would be kept
        if msg["msg_type"] != "status":
            already, self.printed = self.printed, self.printed + len(repr(msg["content"]))
            if msg["msg_type"] == "error" and msg["content"].get("ename") == "PrintsTooMuch":
                self.has_ended_itself = True
            if self.printed > 4 * self.limits.flood_bytes:
                self.flooded.set()
            too_much = self.printed > self.limits.output_bytes
            if too_much and not self._is_first_ending(msg, cell, self.printed - already):
                if already <= self.limits.output_bytes:
                    text = f"\n[cut: a cell may print {self.limits.output_bytes:,} bytes]\n"
                    cell.outputs.append(nbformat.v4.new_output("stream", name="stdout", text=text))
                return None
        result: NotebookNode | None = super().process_message(msg, cell, cell_index)
        return result

    @staticmethod
    def _is_first_ending(msg: dict[str, Any], cell: NotebookNode, size: int) -> bool:
        """Whether it is the cell's error or result: nbgrader marks by the first of these."""
        return (
            msg["msg_type"] in _ENDINGS
            and size <= _ENDING_BYTES
            and not any(output.output_type in _ENDINGS for output in cell.outputs)
        )

    @staticmethod
    def on_cell_executed(cell: NotebookNode, execute_reply: dict[str, Any], **_: object) -> None:
        """Adds the error that a cell has ended in where IPython did not show it.

        nbgrader's own engine does the same, and marks by it.
        """
        content = execute_reply["content"]
        if content["status"] != "error":
            return
        shown = {o.ename for o in cell.outputs if o.output_type == "error"}
        if content["ename"] not in shown:
            parts = {key: content[key] for key in ("ename", "evalue", "traceback")}
            cell.outputs.append(nbformat.v4.new_output("error", **parts))

    async def stop(self) -> None:
        """Kills the kernel and closes the channels."""
        self.writer.close()
        if self.km is not None:  # nbclient drops a manager whose kernel dies at once
            with suppress(RuntimeError):  # it never started
                await self.km.shutdown_kernel(now=True)
            await self.km.cleanup_resources()
        if self.kc is not None:
            self.kc.stop_channels()
        shutil.rmtree(self.folder, ignore_errors=True)
