"""Warm kernels for all that speak to Jupyter kernels: a provisioner, and the grader's client.

A kernelspec that names the provisioner `autograder-warm` gets kernels that are forked (fork.py)
instead of started. The grader talks to such a kernel through a client that a hostile kernel can
neither hold nor fill.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import queue
import time
from functools import cache
from pathlib import Path
from typing import Any

import zmq
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.connect import channel_socket_types
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner

from autograder.engine.fork import START_SECONDS, ForkServer
from autograder.sandbox.confine import Isolation

_MESSAGE_BYTES, _MESSAGES_WAITING = 64 * 2**20, 16  # of a kernel, on one channel


@cache
def own_server() -> ForkServer:
    """The fork server of kernels that no grader asked for; Jupyter tells nobody when it ends."""
    server = ForkServer(Isolation.NONE)
    atexit.register(server.close)
    return server


class WarmProvisioner(LocalProvisioner):
    """Launches kernels by forking.

    Without further arguments, as JupyterLab and nbval use it, the kernel is not confined, and
    starts cold, with a warning, if it cannot be forked. The grader passes a `server` and
    what `ForkServer.fork` wants; such a kernel is never started in another way.
    """

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> dict[str, Any]:
        """Forks the kernel that `cmd` describes and returns its connection information."""
        server = kwargs.pop("server", None)
        try:
            if server is None:
                folder = Path(self.parent.connection_file).parent
                cwd = str(kwargs.get("cwd") or os.getcwd())
                env = kwargs.get("env") or dict(os.environ)
                self.process = own_server().fork(
                    "kernel", command=cmd, folder=folder, cwd=cwd, env=env
                )
            else:
                self.process = server.fork("kernel", command=cmd, **kwargs)
        except OSError as error:
            if server is not None:
                raise
            self.log.warning("no warm kernel (%s); starting a cold one", error)
            return dict(await super().launch_kernel(cmd, **kwargs))
        self.pid = self.process.pid
        self.cwd = kwargs.get("cwd")
        return dict(self.connection_info)

    async def kill(self, restart: bool = False) -> None:
        """Kills the kernel and waits a moment: Jupyter then looks only every tenth of a second."""
        await super().kill(restart)
        for _ in range(100):
            if await self.poll() is not None:
                break
            await asyncio.sleep(0.005)


class _Client(AsyncKernelClient):
    """A client that a hostile kernel can neither hold nor fill.

    It has no heartbeat, because ending that thread waits for a kernel that may not answer; and it
    takes no message that is larger than any honest one.
    """

    def _create_connected_socket(self, channel: str, identity: bytes | None = None) -> zmq.Socket:
        sock = self.context.socket(channel_socket_types[channel])
        sock.linger = 1000
        sock.setsockopt(zmq.MAXMSGSIZE, _MESSAGE_BYTES)
        sock.rcvhwm = _MESSAGES_WAITING
        if identity:
            sock.identity = identity
        sock.connect(self._make_url(channel))
        return sock

    def start_channels(self, *args: Any, **kwargs: Any) -> None:
        super().start_channels(*args, **{**kwargs, "hb": False})

    async def wait_for_ready(self, timeout: float | None = None) -> None:
        """Waits until the kernel answers and its outputs arrive.

        The usual client then waits for 0.2 s in which no more outputs come. There is no need:
        nbclient passes over those that it has not asked for.

        Raises:
            RuntimeError: if the kernel dies or does not answer in `timeout` seconds.
        """
        give_up = time.monotonic() + (START_SECONDS if timeout is None else timeout)
        while time.monotonic() < give_up and await self.is_alive():
            self.kernel_info()
            with contextlib.suppress(queue.Empty):
                await self.get_shell_msg(timeout=1)
                await self.get_iopub_msg(timeout=0.2)
                return
        raise RuntimeError("the kernel died or does not answer")


def warm_kernel_manager(folder: Path) -> AsyncKernelManager:
    """A manager for one warm kernel, reached through Unix sockets in `folder`, not TCP ports."""
    specs = KernelSpecManager(
        kernel_dirs=[str(Path(__file__).parents[1] / "kernelspecs")], ensure_native_kernel=False
    )
    return AsyncKernelManager(
        client_factory=_Client,
        kernel_name="autograder-warm",
        kernel_spec_manager=specs,
        transport="ipc",
        connection_file=str(folder / "kernel.json"),
        ip=str(folder / "ipc"),
    )
