# %% [markdown]
# ## 4.10 The real thing
#
# torch has all that you wrote in this chapter. The next cells define four ways to train the *same* network; `compare_ways` runs them. Each takes fewer than twenty lines, which you can use in a program of your own. **Predict:** after three steps of AdamW, how far apart are
# the weights of one process, of data parallelism, of FSDP and of a pipeline?

# %% tags=["demo", "shown"]
def make_model():
    torch.manual_seed(0)
    blocks = [nn.Sequential(nn.LayerNorm(48), nn.Linear(48, 192), nn.GELU(), nn.Linear(192, 48)) for _ in range(3)]
    return nn.Sequential(*blocks).double()


def make_data():
    """Inputs and targets of a batch."""
    return torch.randn(2, 12, 48, generator=torch.Generator().manual_seed(1)).double()


def one_process():
    model, (x, y) = make_model(), make_data()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        F.mse_loss(model(x), y).backward()
        optimizer.step()
    return model.state_dict()

# %% [markdown]
# **DDP** (4.2) wraps the model. The rest is the loop above, on this rank's rows.

# %% tags=["demo", "shown"]
def with_ddp(rank, world_size):
    from torch.nn.parallel import DistributedDataParallel

    model = DistributedDataParallel(make_model())  # on a GPU: device_ids=[local_rank]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    x, y = (part.chunk(world_size)[rank] for part in make_data())

    def step():
        optimizer.zero_grad()
        F.mse_loss(model(x), y).backward()
        optimizer.step()

    return step, model.module.state_dict

# %% [markdown]
# **FSDP2** (stage 3 of 4.7) changes the model in place: each `fully_shard` makes a group of parameters that travel together, so call it on each block, then on the whole. Parameters become `DTensor`s: `to_local()` is this rank's shard,
# `full_tensor()` gathers. Make the optimizer *afterwards*: it must know the shards.

# %% tags=["demo", "shown"]
def with_fsdp(rank, world_size):
    from torch.distributed.fsdp import fully_shard

    model = make_model()
    for block in model:
        fully_shard(block)
    fully_shard(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    x, y = (part.chunk(world_size)[rank] for part in make_data())

    def step():
        optimizer.zero_grad()
        F.mse_loss(model(x), y).backward()
        optimizer.step()

    return step, lambda: {name: weight.full_tensor() for name, weight in model.state_dict().items()}

# %% [markdown]
# **A pipeline** (4.6): each rank has some blocks and an optimizer for these. The schedule runs forward *and* backward; only the first rank gives inputs, only the last gives targets.

# %% tags=["demo", "shown"]
def with_pipeline(rank, world_size):
    from torch.distributed.pipelining import PipelineStage, ScheduleGPipe

    part = make_model()[rank : rank + 1]  # here three ranks, three blocks
    schedule = ScheduleGPipe(PipelineStage(part, rank, world_size, torch.device("cpu")), n_microbatches=4, loss_fn=F.mse_loss)
    optimizer = torch.optim.AdamW(part.parameters(), lr=1e-2)
    x, y = make_data()

    def step():
        optimizer.zero_grad()
        if rank == 0:
            schedule.step(x)
        elif rank == world_size - 1:
            schedule.step(target=y)
        else:
            schedule.step()
        optimizer.step()

    return step, part.state_dict

# %% [markdown]
# Three ranks; the third step is counted. "Sent" is what a ring sends for each collective. **Predict** for FSDP: how often does it gather, and how often does it reduce?

# %% tags=["demo"]
def compare_ways(n=3):
    def work(rank, world_size, make):
        step, weights = make(rank, world_size)
        for _ in range(2):  # the first steps also agree on buckets and shapes
            step()
        with count_traffic() as traffic:
            step()
        return weights(), traffic.calls

    shares = {"all_reduce": 2 * (n - 1) / n, "all_gather": n - 1, "reduce_scatter": (n - 1) / n, "send": 1, "recv": 0}
    truth = one_process()
    total = sum(weight.numel() for weight in truth.values())
    print(f"{total:,} weights, {8 * total:,} bytes; the middle rank of three\n")
    print(f"{'':14}{'bytes sent':>10}   {'calls in one step':42}same weights")
    for make in (with_ddp, with_fsdp, with_pipeline):
        reports = run_ranks(work, n, make)
        found = [(name, weight) for weights, _ in reports for name, weight in weights.items()]
        same = {name for name, _ in found} == set(truth) and all((weight - truth[name]).abs().max() < 1e-10 for name, weight in found)
        calls = reports[1][1]
        sent = sum(shares[call[0]] * call[2] for call in calls)
        counts = ", ".join(f"{sum(call[0] == name for call in calls)} × {name}" for name in shares if any(call[0] == name for call in calls))
        print(f"{make.__name__:14}{sent:>10,.0f}   {counts:42}{'within 1e-10' if same else 'NO'}")


compare_ways()

# %% [markdown]
# - **One training, not three**: all weights are equal up to rounding.
# - **DDP** all-reduces all gradients; here they fit into one bucket.
# - **FSDP** gathers each of the three blocks twice, forward and again backward, and reduce-scatters each once. That is three halves of an all-reduce, so 1.5 times DDP's bytes, for a third of the weights, gradients and averages on each rank.
# - **The pipeline** sends activations and their gradients, no weights: far less here, where a batch has 12 rows. With more rows it sends more, DDP does not.
#
# ### On several machines
#
# `run_ranks` exists in this course only. Elsewhere, a script is started once on each machine by **torchrun**, which starts `--nproc-per-node` processes there, usually one for each GPU, and tells each its place in environment variables: `RANK` among all, `LOCAL_RANK` on its machine (which
# is its GPU), `WORLD_SIZE`. `init_process_group()` reads them, and all meet at `--master-addr` (documentation of PyTorch, *torchrun*).
#
# The next two cells write such a script, with the same `with_ddp`, and start it on two hosts: where Linux permits it, two network namespaces, joined by a virtual cable and each with an address and a loopback device of its own. Elsewhere, two torchruns share your machine. **Predict:** does the script need to
# know which?

# %% tags=["demo", "shown"]
import inspect

SCRIPT = f"""
import os, sys
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

{inspect.getsource(make_model)}
{inspect.getsource(make_data)}
{inspect.getsource(with_ddp)}
dist.init_process_group("gloo")  # on GPUs "nccl", after torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
step, weights = with_ddp(dist.get_rank(), dist.get_world_size())
for _ in range(3):
    step()
if dist.get_rank() == 0:  # one rank writes the checkpoint
    torch.save(weights(), sys.argv[1])
dist.destroy_process_group()
"""
OPTIONS = "--nnodes=2 --node-rank={host} --nproc-per-node=1 --master-addr={address} --master-port={port}"

# %% tags=["demo", "nbval-ignore-output"]
def launch_on_two_hosts(seconds=60):
    """Starts the script on two hosts, and compares its checkpoint with one process."""
    import os
    import socket
    import subprocess
    import sys
    import tempfile
    from pathlib import Path
    from shlex import quote

    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    # Whatever is started in these namespaces ends, and they vanish, when their first process does.
    new_host = ["unshare", "--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child"]
    cable = "ip link add left type veth peer name right"

    def succeeds(command):
        try:
            return subprocess.run(command, check=False, **quiet, timeout=5).returncode == 0
        except (OSError, subprocess.TimeoutExpired):
            return False

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        script, checkpoint, ready = (Path(folder, name) for name in ("train.py", "weights.pt", "ready"))
        script.write_text(SCRIPT)

        def torchrun(host, device):
            options = OPTIONS.format(host=host, address=address, port=port)
            command = f"{quote(sys.executable)} -m torch.distributed.run {options} {quote(str(script))} {quote(str(checkpoint))}"
            return f"OMP_NUM_THREADS=1 GLOO_SOCKET_IFNAME={device} exec {command}"

        if is_apart := succeeds([*new_host, *cable.split()]):
            address, port = "192.0.2.1", 29500
            second = f"""touch {quote(str(ready))}; until ip link set right up; do sleep 0.05; done
                ip link set lo up; ip addr add 192.0.2.2/24 dev right
                {torchrun(1, "right")}"""
            first = f"""unshare --net sh -c {quote(second)} &
                until [ -e {quote(str(ready))} ]; do sleep 0.05; done
                {cable} netns $! && ip link set lo up && ip link set left up && ip addr add {address}/24 dev left || exit 1
                ({torchrun(0, "left")}) && wait $!"""
            commands = [[*new_host, "sh", "-c", first]]
        else:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                address, port = free.getsockname()
            commands = [["sh", "-c", torchrun(host, "lo" if sys.platform == "linux" else "lo0")] for host in (0, 1)]

        started = []
        try:
            for command in commands:
                started.append(subprocess.Popen(command, **quiet, env={**os.environ, "TMPDIR": folder}))  # torchrun leaves files
            is_done = all(process.wait(seconds) == 0 for process in started)
        except (OSError, subprocess.TimeoutExpired):
            is_done = False
        finally:
            for process in started:
                if is_apart:
                    process.kill()
                else:
                    process.terminate()  # torchrun then ends its workers
                process.wait()
        if not is_done:
            print("torchrun could not run here within its time, so nothing is shown.")
            return
        weights, truth = torch.load(checkpoint), one_process()
    for host in (0, 1):
        print(f"host {host}:  torchrun {OPTIONS.format(host=host, address=address, port=port if is_apart else 'PORT')} train.py weights.pt")
    print("in two network namespaces" if is_apart else "both on this machine, because network namespaces are not permitted here")
    print("the checkpoint's weights equal those of one process, within 1e-10:", all((weights[name] - truth[name]).abs().max() < 1e-10 for name in truth))


launch_on_two_hosts()

# %% [markdown]
# The script does not. What changes in a **cloud**: machines of one job may stand far apart and share an ordinary network, so ask for a fast interconnect and for places side by side, and keep tensor parallelism within one machine. Spot instances
# are cheap because they are taken away (by Amazon two minutes after a notice, says its EC2 manual), so save checkpoints, with the sampler's position (4.3), to storage that outlives the machine, and read data from storage that can feed all ranks at once.
#
# **TPUs** are wired into *slices* by links of their own; in JAX, you say how arrays are sharded, and the compiler puts the collectives in (JAX documentation, *Introduction to parallel programming*).
#
# **Change, predict, run.** In `with_fsdp`, remove the loop that shards each block. How many gathers are there now, how many bytes, and what is lost?
#
# <details><summary>Answer</summary>
#
# One all-gather, one reduce-scatter: DDP's bytes, because the outermost group is not freed after the forward pass. But then each rank holds all weights during the step, and no gather can run while an earlier block computes.
# </details>
