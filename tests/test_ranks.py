"""Ranks: results, errors with their lines, deadlocks, deaths, and that nothing stays behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
import torch.distributed as dist

from autograder import plain, ranks
from autograder.idleness import IDLE_SECONDS
from autograder.ranks import Deadlock, RankError, cache_with_errors, run_ranks
from autograder.traffic import Call, count_traffic
from autograder.without import Forbidden


@pytest.fixture(autouse=True)
def nothing_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No process, no open file and no folder outlives a call."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ranks._warm_up()
    children = psutil.Process().children(recursive=True)
    files = set(os.listdir("/proc/self/fd"))
    yield  # what earlier tests left may end meanwhile
    assert set(psutil.Process().children(recursive=True)) <= set(children)
    assert set(os.listdir("/proc/self/fd")) <= files
    assert list(tmp_path.glob("ranks-*")) == []


def error_of(function: Callable[..., object], world_size: int, **options: float) -> Exception:
    with pytest.raises(Exception) as caught:
        run_ranks(function, world_size, **options)
    return caught.value


def line_of(error: Exception) -> str | None:
    """The source line that the innermost frame of the traceback shows."""
    return traceback.extract_tb(error.__traceback__)[-1].line


# ---------------------------------------------------------------- results


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_results_come_back_by_rank(world_size: int) -> None:
    def function(rank: int, world_size: int, factor: int) -> tuple[int, int, torch.Tensor]:
        total = torch.tensor([rank * factor])
        dist.all_reduce(total)
        return rank, world_size, total

    results = run_ranks(function, world_size, 10)
    total = torch.tensor([10 * sum(range(world_size))])
    assert results == [(rank, world_size, total) for rank in range(world_size)]


def test_a_rank_starts_with_the_callers_data_and_changes_only_its_own() -> None:
    values = [torch.zeros(2)]
    torch.manual_seed(3)

    def function(rank: int, _: int) -> tuple[float, int]:
        values[0] += rank
        return torch.rand(()).item(), torch.get_num_threads()

    first, second = run_ranks(function, 2)
    torch.manual_seed(3)
    assert first == second == (torch.rand(()).item(), 1)
    assert values[0].tolist() == [0, 0]


def test_data_of_all_kinds_survive() -> None:
    values = [
        *(None, True, 3, -(2**40), 2.5, float("inf"), "ä", b"x", 1j, (1, (2,)), {1, 2}),
        {"a": [1, {2: ()}], (1, 2): 3},
        *(np.arange(6.0).reshape(2, 3), np.float32(1.5), np.array("text")),
        *(torch.arange(6).reshape(2, 3).T, torch.ones(0, 3), torch.tensor(True)),
        *(torch.ones(2, dtype=torch.bfloat16), torch.nn.Parameter(torch.ones(2))),
    ]
    for value in values:
        back = plain.unpack(plain.pack(value))
        if isinstance(value, torch.Tensor):
            assert torch.equal(back, value.detach()) and back.dtype == value.dtype
        elif isinstance(value, (np.ndarray, np.generic)):
            np.testing.assert_array_equal(back, value)
            assert back.dtype == value.dtype
        else:
            assert (back, type(back)) == (value, type(value))


def test_what_ranks_print_is_printed_in_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    def function(rank: int, _: int) -> None:
        if rank == 0:
            dist.barrier()
        print(f"I am {rank}\nas said")
        if rank == 1:
            dist.barrier()

    run_ranks(function, 2)
    said = "rank 0: I am 0\nrank 0: as said\nrank 1: I am 1\nrank 1: as said\n"
    assert capsys.readouterr() == (said, "")


def test_a_rank_that_has_returned_has_delivered_what_it_sent() -> None:
    def function(rank: int, _: int) -> float:
        tensor = torch.full((200_000,), float(rank))
        if rank == 0:
            dist.send(tensor, 1)
        else:
            time.sleep(0.3)
            dist.recv(tensor, 0)
        return tensor[-1].item()

    assert run_ranks(function, 2) == [0, 0]


# ---------------------------------------------------------------- errors


def test_an_error_has_its_type_its_rank_and_its_line() -> None:
    def function(rank: int, _: int) -> None:
        if rank == 1:
            raise ValueError("not like this")
        dist.barrier()

    error = error_of(function, 3)
    assert isinstance(error, ValueError) and isinstance(error, RankError)
    assert str(error) == "rank 1: not like this"
    assert line_of(error) == 'raise ValueError("not like this")'


def test_an_error_of_no_built_in_type_keeps_its_name() -> None:
    class OddError(Exception):
        pass

    def function(rank: int, _: int) -> None:
        raise OddError("odd")

    error = error_of(function, 2)
    assert type(error).__name__ == "OddError" and isinstance(error, RankError)


def test_a_stub_is_recognised_as_one() -> None:
    def function(rank: int, _: int) -> None:
        raise NotImplementedError

    error = error_of(function, 2)
    assert type(error).__name__ == "NotImplementedError"
    assert line_of(error) == "raise NotImplementedError"


def test_a_result_that_is_no_data_is_refused() -> None:
    error = error_of(lambda rank, _: object(), 2)
    assert isinstance(error, TypeError) and "object" in str(error)


def test_a_deadlock_names_for_each_rank_line_and_collective() -> None:
    def function(rank: int, _: int) -> None:
        if rank == 0:
            return
        tensor = torch.ones(1)
        if rank == 1:
            dist.all_reduce(tensor)
        else:
            request = dist.irecv(tensor, 0)
            request.wait()

    error = error_of(function, 3)
    assert isinstance(error, Deadlock)
    _, zero, one, two = str(error).splitlines()
    assert zero == "rank 0 has returned"
    assert re.fullmatch(
        r"rank 1 waits in all_reduce, line \d+ of function: dist\.all_reduce\(tensor\)", one
    )
    assert re.fullmatch(r"rank 2 waits in line \d+ of function: request\.wait\(\)", two)
    assert line_of(error) == "dist.all_reduce(tensor)"


def test_a_rank_that_waits_for_a_group_is_a_deadlock_too() -> None:
    def function(rank: int, _: int) -> None:
        if rank == 0:
            dist.new_group([0, 1])

    error = error_of(function, 2)
    assert isinstance(error, Deadlock)
    assert "rank 0 waits in new_group" in str(error)


def works(seconds: float) -> None:
    """Uses the processor for so long."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_a_rank_that_only_looks_again_and_again_is_a_deadlock_too() -> None:
    """As those do that wait in torch's store: next to none of their time is work."""

    def function(rank: int, _: int) -> None:
        while rank == 0:
            works(0.0001)
            time.sleep(0.01)

    assert isinstance(error_of(function, 2), Deadlock)


def test_a_rank_that_works_a_little_and_sleeps_a_lot_is_no_deadlock() -> None:
    def function(rank: int, _: int) -> int:
        end = time.monotonic() + 2 * IDLE_SECONDS
        while time.monotonic() < end:
            works(0.005)
            time.sleep(0.03)
        return rank

    assert run_ranks(function, 1) == [0]


def test_an_endless_loop_meets_the_deadline() -> None:
    def function(rank: int, _: int) -> None:
        while rank == 0:
            pass

    error = error_of(function, 2, seconds=1.0)
    assert isinstance(error, TimeoutError)
    assert "rank 0 is in line" in str(error) and "rank 1 has returned" in str(error)


def test_work_of_a_child_of_a_rank_is_no_deadlock() -> None:
    def function(rank: int, _: int) -> str:
        return subprocess.run(["sleep", str(IDLE_SECONDS + 1)], check=True).args[0]

    assert run_ranks(function, 1) == ["sleep"]


# ---------------------------------------------------------------- deaths


def exits() -> None:
    os._exit(3)


def is_killed() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


@pytest.mark.parametrize(("dies", "how"), [(exits, "exit status 3"), (is_killed, "SIGSEGV")])
def test_a_rank_that_dies_is_named(dies: Callable[[], None], how: str) -> None:
    def function(rank: int, _: int) -> None:
        if rank == 2:
            dies()
        dist.all_reduce(torch.ones(3))

    for _ in range(3):  # the others then have errors of their own, which must not come first
        error = error_of(function, 4)
        assert type(error) is RankError
        assert str(error).startswith("rank 2 died") and how in str(error)


def test_unequal_sizes_are_told() -> None:
    def function(rank: int, _: int) -> None:
        if rank == 0:
            dist.send(torch.ones(5), 1)
        else:
            dist.recv(torch.ones(3), 0)

    error = error_of(function, 2)
    assert str(error).startswith("rank 1 died: in recv, line ")
    assert line_of(error) == "dist.recv(torch.ones(3), 0)"
    assert "it was sent 20 bytes where it expected at most 12" in str(error)


def test_an_interrupt_ends_all_ranks() -> None:
    timer = threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # as a kernel has it
    try:
        with pytest.raises(KeyboardInterrupt):
            timer.start()
            run_ranks(lambda rank, _: time.sleep(1000) if rank else sum(range(10**12)), 3)
        timer.join()
    finally:
        signal.signal(signal.SIGINT, before)


def test_ranks_die_with_a_caller_that_is_killed(tmp_path: Path) -> None:
    code = f"""
    import os, time
    from autograder.ranks import run_ranks

    def function(rank, world_size):
        open(os.path.join({str(tmp_path)!r}, str(os.getpid())), "w").close()
        time.sleep(1000)

    run_ranks(function, 2)
    """
    (tmp_path / "of_the_caller").mkdir()  # which leaves its folder there when it is killed
    environment = {**os.environ, "TMPDIR": str(tmp_path / "of_the_caller")}
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], env=environment) as caller:
        pids = wait_for(lambda: [int(p.name) for p in tmp_path.glob("[0-9]*")], 2)
        caller.kill()
    _, alive = psutil.wait_procs(
        [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], 10
    )
    assert alive == []


def wait_for(found: Callable[[], list[int]], number: int) -> list[int]:
    deadline = time.monotonic() + 120
    while len(pids := found()) < number:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return pids


# ---------------------------------------------------------------- traffic


def test_calls_elements_and_bytes_are_counted_exactly() -> None:
    def function(rank: int, n: int) -> list[Call]:
        with count_traffic() as traffic:
            whole, part = torch.ones(4 * n), torch.ones(4)
            dist.all_reduce(whole)
            dist.all_gather_single(whole, part)
            dist.all_gather([torch.empty(4) for _ in range(n)], part)
            dist.reduce_scatter_single(part, whole)
            dist.all_to_all_single(torch.empty(4 * n), whole)
            dist.broadcast(whole, 1)
            dist.reduce(whole, 1)
            dist.gather(part, [torch.empty(4) for _ in range(n)] if rank == 0 else None, 0)
            dist.scatter(part, list(whole.chunk(n)) if rank == 0 else None, 0)
            if rank == 0:
                dist.send(part.double(), 1)
            elif rank == 1:
                dist.recv(part.double(), 0)
            dist.barrier()
        return traffic.calls

    zero, one, two = run_ranks(function, 3)
    everywhere = [
        *(("all_reduce", 12, 48, None), ("all_gather", 4, 16, None), ("all_gather", 4, 16, None)),
        *(("reduce_scatter", 12, 48, None), ("all_to_all", 12, 48, None)),
    ]
    barrier = ("barrier", 0, 0, None)
    for rank, calls, rest in [
        (0, zero, [("scatter", 12, 48, 0), ("send", 4, 32, 1), barrier]),
        (1, one, [("scatter", 0, 0, 0), ("recv", 0, 0, None), barrier]),
        (2, two, [("scatter", 0, 0, 0), barrier]),
    ]:
        root = ("broadcast", *((12, 48) if rank == 1 else (0, 0)), 1)
        reduced = [("reduce", 12, 48, 1), ("gather", 4, 16, 0)]
        assert calls == [*everywhere, root, *reduced, *rest]


def test_what_libraries_send_is_counted_too() -> None:
    def function(rank: int, _: int) -> tuple[list[str], int, list[str]]:
        from torch.distributed.fsdp import fully_shard
        from torch.nn.parallel import DistributedDataParallel

        parallel = DistributedDataParallel(torch.nn.Linear(3, 2))
        with count_traffic() as of_ddp:
            parallel(torch.ones(1, 3)).sum().backward()
        sharded = torch.nn.Linear(4, 2)
        fully_shard(sharded, mesh=dist.init_device_mesh("cpu", (2,)))
        with count_traffic() as of_fsdp:
            sharded(torch.ones(1, 4)).sum().backward()
        return of_ddp.names, of_ddp.bytes_sent, of_fsdp.names

    for of_ddp, sent, of_fsdp in run_ranks(function, 2):
        assert (of_ddp, sent) == (["all_reduce"], 4 * (3 * 2 + 2))
        assert of_fsdp.count("reduce_scatter") == 1 and "all_gather" in of_fsdp


def test_what_is_not_allowed_is_refused() -> None:
    def function(rank: int, _: int, names: list[str]) -> list[str]:
        with count_traffic(allowed=names) as traffic:
            dist.all_reduce(torch.ones(1))
        return traffic.names

    assert run_ranks(function, 2, ["all_reduce"]) == [["all_reduce"]] * 2
    with pytest.raises(RankError, match=r"without dist\.all_reduce") as caught:
        run_ranks(function, 2, ["send", "recv"])
    assert type(caught.value).__name__ == Forbidden.__name__
    assert line_of(caught.value) == "dist.all_reduce(torch.ones(1))"


# ---------------------------------------------------------------- for test cells


def test_several_checks_share_a_start_and_its_error() -> None:
    asked = []

    @cache_with_errors
    def start(world_size: int) -> int:
        asked.append(world_size)
        if world_size == 3:
            raise ValueError("three")
        return 10 * world_size

    assert [start(2), start(2)] == [20, 20]
    for _ in range(2):
        with pytest.raises(ValueError, match="three"):
            start(3)
    assert asked == [2, 3]


def test_after_two_deadlocks_no_other_start_is_tried() -> None:
    asked = []

    @cache_with_errors
    def start(world_size: int) -> int:
        asked.append(world_size)
        if world_size > 1:
            raise Deadlock(f"with {world_size}")
        return world_size

    assert start(1) == 1
    for world_size, message in [(2, "with 2"), (3, "with 3"), (4, "with 2"), (3, "with 3")]:
        with pytest.raises(Deadlock, match=message):
            start(world_size)
    assert start(1) == 1
    assert asked == [1, 2, 3]
