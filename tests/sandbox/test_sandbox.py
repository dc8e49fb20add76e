"""The sandbox: every layer holds here, a missing one is said, and student code meets its walls."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import psutil
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from other_user import as_oneself, as_student, needs_root, open_folder, python_for_all
from sample_class import ROOT
from typer.testing import CliRunner

from autograder import cli
from autograder.classroom import batch
from autograder.engine.grade import Engine
from autograder.engine.options import Graded
from autograder.sandbox import confine as sandbox
from autograder.sandbox import doctor, shared
from autograder.sandbox.confine import Isolation, SandboxError
from autograder.sandbox.doctor import Finding, examine
from autograder.sandbox.shared import SharedFolder

LAYERS = [
    "the grader's home is out of sight",
    "other submissions are out of sight",
    "the system cannot be written to",
    "Landlock",
    "no network",
    "seccomp",
    "no signals to its guardian",
    "the size of a file",
    "the memory of a process",
    "scratch space",
    "the number of processes",
    "no new privileges",
    "no capabilities",
    "process ids of its own",
    "a user of its own",
    "loopback works",
]
Cell = Callable[..., str]


@pytest.fixture
def said(graded: Callable[..., Graded], filled: Callable[..., NotebookNode]) -> Cell:
    """What a cell that a student has added prints when the submission is graded."""

    def run(code: str, **limits: object) -> str:
        notebook = filled({})
        notebook.cells.append(new_code_cell(code))
        outputs = graded(notebook, **limits).notebook.cells[-1].outputs
        return "".join(o.get("text", "") or f"{o.get('ename')}: {o.get('evalue')}" for o in outputs)

    return run


@pytest.fixture
def no_bwrap(monkeypatch: pytest.MonkeyPatch) -> None:
    found = shutil.which
    monkeypatch.setattr(
        shutil, "which", lambda name, *rest: None if name == "bwrap" else found(name, *rest)
    )


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Runs `autograder` with these arguments in the course; exit code and everything it wrote.

    Nothing is graded: what would be is only listed.
    """
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "300")
    (tmp_path / "submitted").mkdir()

    here = batch.here

    def said(engine: Engine, *arguments: Any) -> contextlib.AbstractContextManager[batch.Pool]:
        print("isolation:", engine.isolation)
        return here(engine, *arguments)

    monkeypatch.setattr(batch, "here", said)
    monkeypatch.setattr(batch, "grade_class", lambda *_, **__: [])

    def run(*arguments: str) -> tuple[int, str]:
        if arguments[0] == "grade":
            arguments += ("ch01_concepts", "--submitted", str(tmp_path / "submitted"))
        done = CliRunner().invoke(cli.app, list(arguments))
        return done.exit_code, " ".join((done.output + done.stderr).replace("│", " ").split())

    return run


# ---------------------------------------------------------------- the doctor


def test_every_layer_of_full_isolation_holds_and_is_named() -> None:
    findings = examine(Isolation.FULL)
    assert [f for f in findings if not f.holds] == []
    for layer in LAYERS:
        assert [f.layer for f in findings if f.layer.startswith(layer)], layer
    assert all(f.seen for f in findings)


def test_process_isolation_claims_no_more_than_it_has() -> None:
    layers = [finding.layer for finding in examine(Isolation.PROCESS)]
    for layer in ("process ids of its own", "loopback works", "scratch space"):
        assert not [name for name in layers if name.startswith(layer)]


def test_the_doctor_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def footprint() -> tuple[int, int]:
        return len(psutil.Process().children(recursive=True)), psutil.Process().num_fds()

    before = footprint()
    with tempfile.TemporaryDirectory(dir=shared.SHARED) as folder:
        # A place of its own: in the usual one, other tests' engines make folders meanwhile.
        monkeypatch.setattr(shared, "SHARED", folder)
        examine(Isolation.FULL)
        examine(Isolation.PROCESS)
        assert list(Path(folder).iterdir()) == []
    assert footprint() == before


@pytest.mark.parametrize(
    ("function", "layers"),
    [
        ("_landlock", ["Landlock"]),
        ("_seccomp", ["seccomp"]),
        ("_loopback_up", ["loopback"]),
        ("_limit", ["the size of a file", "the memory of a process", "the number of processes"]),
    ],
)
def test_a_layer_that_does_nothing_is_found_out(
    function: str, layers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import runpy; from autograder.sandbox import confine; "
        f"confine.{function} = lambda *_: None; "
        "confine.adopt_orphans(); "
        "runpy.run_module('autograder.sandbox.doctor', run_name='__main__')"
    )
    wrap = sandbox.wrap
    monkeypatch.setattr(
        sandbox,
        "wrap",
        lambda command, folder: wrap([command[0], "-c", code, *command[3:]], folder),
    )
    missing = [finding.layer for finding in examine(Isolation.FULL) if not finding.holds]
    assert "start" not in missing
    for layer in layers:
        assert [name for name in missing if name.startswith(layer)], layer


def test_a_trial_that_is_cut_short_is_no_layer_that_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import os, runpy; os.getppid = lambda: os._exit(3); "
        "from autograder.sandbox import confine; "
        "confine.adopt_orphans(); "
        "runpy.run_module('autograder.sandbox.doctor', run_name='__main__')"
    )
    wrap = sandbox.wrap
    monkeypatch.setattr(
        sandbox,
        "wrap",
        lambda command, folder: wrap([command[0], "-c", code, *command[3:]], folder),
    )
    *before, finding = examine(Isolation.FULL)
    assert all(found.holds for found in before)
    assert finding.layer.startswith("no signals")
    assert not finding.holds
    assert finding.seen == "the trial was ended by force"


@pytest.mark.parametrize("who", ["self", pytest.param("another user", marks=needs_root)])
def test_an_environment_in_the_temporary_folder_is_no_obstacle(who: str) -> None:
    """It was, for users without rights: `mount … Invalid argument`, and weaker isolation.

    The package was mounted inside of the environment that it is installed in.
    """
    python, run = (
        (Path(sys.executable), as_oneself) if who == "self" else (python_for_all(), as_student)
    )
    with open_folder("/tmp") as folder:
        new = folder / "environment"
        subprocess.run([python, "-m", "venv", "--without-pip", new], check=True)
        site = new / "lib" / "python3.11" / "site-packages"
        shutil.copytree(sandbox.PACKAGE, site / "autograder")
        shutil.copy(Path(sysconfig.get_path("purelib"), "pyseccomp.py"), site)
        code = (
            "from autograder.sandbox.doctor import Isolation, examine\n"
            "print([f for f in examine(Isolation.FULL) if not f.holds])"
        )
        subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
        done = run(new / "bin" / "python", "-c", code)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.usefixtures("no_bwrap")
def test_missing_bubblewrap_is_a_finding_with_a_remedy() -> None:
    (finding,) = examine(Isolation.FULL)
    assert (finding.layer, finding.holds) == ("start", False)
    assert "apt-get install bubblewrap" in finding.seen
    with pytest.raises(SandboxError, match="bubblewrap is not installed"):
        sandbox.wrap(["true"], Path("/var/tmp"))


def broken(*isolations: Isolation) -> Callable[[Isolation], list[Finding]]:
    def examine(isolation: Isolation) -> list[Finding]:
        holds = isolation not in isolations
        return [
            Finding("always holds", True, "yes"),
            Finding(f"a layer of {isolation}", holds, "seen [this]"),
        ]

    return examine


@pytest.mark.usefixtures("no_bwrap")
def test_without_bubblewrap_auto_falls_back_and_full_refuses(
    command: Callable[..., tuple[int, str]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    code, text = command("grade", "--isolation", "full")
    assert code == 2
    assert "full isolation does not hold here" in text
    assert "apt-get install bubblewrap" in text
    real = examine
    monkeypatch.setattr(  # as root, process isolation leaves other files in reach
        doctor,
        "examine",
        lambda isolation: real(isolation) if isolation is Isolation.FULL else broken()(isolation),
    )
    code, text = command("grade")
    assert (code, "isolation: process" in text) == (0, True)
    assert "weaker isolation" in caplog.text
    assert "apt-get install bubblewrap" in caplog.text
    code, text = command("doctor")
    assert code == 1
    assert "does not hold" in text
    assert "autograder grade would use: process" in text


def test_where_nothing_holds_grading_is_refused(
    command: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "examine", broken(Isolation.FULL, Isolation.PROCESS))
    for wanted in (["--isolation", "auto"], []):
        code, text = command("grade", *wanted)
        assert code == 2
        assert "isolation:" not in text
        assert "cannot be confined here" in text
        assert "a layer of full: seen [this]; a layer of process: seen [this]" in text
        assert "--isolation none" in text
    code, text = command("doctor")
    assert code == 1
    assert "seen [this]" in text
    assert "would use: none" in text


def test_what_holds_is_used_and_what_is_asked_for_is_tried(
    command: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "examine", broken(Isolation.PROCESS))
    assert "isolation: full" in command("grade")[1]
    assert command("doctor")[0] == 0
    assert command("grade", "--isolation", "process")[0] == 2
    code, text = command("grade", "--isolation", "none")
    assert (code, "isolation: none" in text) == (0, True)
    code, text = command("grade", "--isolation", "some")
    assert code == 2
    assert "--isolation is auto, full, process or none" in text


# ---------------------------------------------------------------- what student code meets


def test_files_of_the_grader_are_out_of_reach(
    said: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "gradebook.db"
    secret.write_text("marks")
    monkeypatch.setenv("AUTOGRADER_TEST_SECRET", "a secret")
    paths = [ROOT / "source", ROOT / "tests", ROOT / "nbgrader_config.py", ROOT / "gradebook.db"]
    paths += [Path.home(), secret, Path("/etc/passwd"), Path("/etc/shadow"), Path("/var/tmp")]
    text = said(
        "import os\n"
        f"for path in {[*map(str, paths)]!r}:\n"
        "    try:\n"
        "        found = os.listdir(path) if os.path.isdir(path) else open(path, 'rb').read()\n"
        "    except OSError:\n"
        "        found = None\n"
        "    print(path, found and 'READ ' + repr(found)[:200])\n"
        "print('a secret' in str(dict(os.environ)), os.getuid() == 0, os.getcwd())\n"
    )
    assert "READ" not in text
    assert text.count("None") + text.count("[]") == len(paths)
    assert text.splitlines()[-1] == f"False False {sandbox.WORK}"


def test_the_system_and_the_environment_cannot_be_written_to(said: Cell) -> None:
    text = said(
        "import os, sys, torch\n"
        "for path in ('/', '/usr', '/etc', '/proc', '/var/tmp', sys.prefix,\n"
        "             os.path.dirname(torch.__file__), os.environ['HOME'], '/tmp', '/dev/shm'):\n"
        "    try:\n"
        "        open(f'{path}/mine', 'w').close()\n"
        "        print('WROTE', path)\n"
        "    except OSError as error:\n"
        "        pass\n"
    )
    assert text.split() == ["WROTE", "/tmp", "WROTE", "/tmp", "WROTE", "/dev/shm"]


def test_there_is_no_network_but_loopback(said: Cell) -> None:
    text = said(
        "import socket\n"
        "try:\n"
        "    socket.create_connection(('192.0.2.1', 80), 2)\n"
        "except OSError as error:\n"
        "    print(type(error).__name__)\n"
        "print(socket.if_nameindex())\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "ours = socket.create_connection(server.getsockname(), 2)\n"
        "theirs, _ = server.accept()\n"
        "ours.sendall(b'hello')\n"
        "print(theirs.recv(5))\n"
    )
    assert text.splitlines() == ["OSError", "[(1, 'lo')]", "b'hello'"]


def test_gloo_works_over_loopback(said: Cell) -> None:
    text = said(
        "import os, sys, torch, torch.distributed as dist\n"
        "def work(rank):\n"
        "    torch.set_num_threads(1)\n"
        "    dist.init_process_group('gloo', init_method='file:///tmp/store', rank=rank,\n"
        "                            world_size=2)\n"
        "    part = torch.full((3,), rank + 1.0)\n"
        "    dist.all_reduce(part)\n"
        "    torch.save(part, f'/tmp/part{rank}')\n"
        "    dist.destroy_process_group()\n"
        "children = []\n"
        "for rank in range(2):\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        status = 1\n"
        "        try:\n"
        "            work(rank)\n"
        "            status = 0\n"
        "        finally:\n"
        "            os._exit(status)\n"
        "    children.append(pid)\n"
        "print([os.waitpid(pid, 0)[1] for pid in children])\n"
        "print([torch.load(f'/tmp/part{rank}').tolist() for rank in range(2)])\n"
    )
    assert "[0, 0]\n[[3.0, 3.0, 3.0], [3.0, 3.0, 3.0]]\n" in text


def test_localhost_has_its_name(said: Cell) -> None:
    """Tutorials on distributed training say MASTER_ADDR=localhost."""
    assert said("import socket; print(socket.gethostbyname('localhost'))") == "127.0.0.1\n"


def test_detached_descendants_are_dead_when_grading_ends(said: Cell) -> None:
    text = said(
        "import os, time\n"
        "told, tell = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "        os.write(tell, b'started')\n"
        "        os.execv('/bin/sleep', ['sleep', '86397'])\n"
        "    os._exit(0)\n"
        "print(os.read(told, 7).decode())\n"
    )
    assert text == "started\n"
    # `process_iter` passes over processes of other tests that end while it looks.
    there = [process.info for process in psutil.process_iter(["cmdline", "status"])]
    alive = [info["cmdline"] for info in there if info["status"] != psutil.STATUS_ZOMBIE]
    assert [line for line in alive if "86397" in (line or [])] == []


def test_submissions_do_not_see_each_others_files_or_processes(said: Cell) -> None:
    leave = (
        "import os, pathlib\n"
        "for folder in ('/tmp', '/dev/shm', '.', os.environ['HOME']):\n"
        "    pathlib.Path(folder, 'my_answer').write_text('42')\n"
        "print(len(list(pathlib.Path('/tmp').rglob('my_answer'))))\n"
    )
    look = (
        "import os, pathlib\n"
        "for folder in ('/tmp', '/dev/shm', '/var/tmp', '/proc'):\n"
        "    print(list(pathlib.Path(folder).glob('**/my_answer' if folder != '/proc' else\n"
        "                                         '[0-9]*')))\n"
    )
    assert said(leave) == "2\n"
    files, shared, other, processes = said(look).splitlines()
    assert files == shared == other == "[]"
    assert processes.count("PosixPath") <= 3


READY = "is-ready"  # what a submission's process calls itself when it has done its part
GO_ON = f"""
import ctypes, os, signal
told, tell = os.pipe()
os.set_blocking(tell, False)
signal.set_wakeup_fd(tell)
signal.signal(signal.SIGUSR1, lambda *_: None)
ctypes.CDLL(None).prctl(15, {READY.encode()!r})  # PR_SET_NAME
os.read(told, 1)
"""


def at_once(said: Cell, *cells: str, graders: Sequence[Engine | None] = (None, None)) -> list[str]:
    """What these two cells print, each in a submission of its own; none goes past GO_ON alone."""
    with ThreadPoolExecutor(len(cells)) as pool:
        printed = [
            pool.submit(said, cell, cell_seconds=120, grader=grader)
            for cell, grader in zip(cells, graders, strict=True)
        ]
        while len(ready := list(processes_called(READY))) < len(cells):
            early, _ = wait(printed, 0.05, FIRST_COMPLETED)
            assert not early, [future.result() for future in early]
        for process in ready:
            process.send_signal(signal.SIGUSR1)
        return [future.result() for future in printed]


def processes_called(name: str) -> Iterator[psutil.Process]:
    """Those of this process's descendants, in any namespace."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.name() == name:
                yield process


def test_running_submissions_do_not_see_each_other(said: Cell) -> None:
    """Both run at once; each looks while the other's file and process are there."""
    code = (
        "import os, pathlib\n"
        f"pathlib.Path('/tmp/here').write_text('42')\n{GO_ON}\n"
        "print(sorted(p.name for p in pathlib.Path('/tmp').iterdir() if p.name != 'work'))\n"
        "print(sorted(int(p) for p in os.listdir('/proc') if p.isdigit()))\n"
    )
    for text in at_once(said, code, code):
        names, processes = text.splitlines()
        assert names.startswith("['")
        assert names.count("here") == 1
        assert processes == "[1, 2]"


def test_a_submission_in_process_isolation_is_graded_and_confined(said: Cell) -> None:
    text = said(
        "import os, pathlib\n"
        f"for path in ({str(ROOT / 'source')!r}, {str(Path.home())!r}):\n"
        "    try:\n"
        "        print('READ', os.listdir(path))\n"
        "    except OSError as error:\n"
        "        print(type(error).__name__)\n"
        "pathlib.Path('mine').write_text('x')\n"
        "print(os.listdir('.'))\n",
        isolation=Isolation.PROCESS,
    )
    assert text.splitlines() == ["PermissionError", "PermissionError", "['mine']"]


def test_two_graders_do_not_share_the_limit_on_processes(said: Cell) -> None:
    """Two graders on one machine may give their submissions the same user."""
    fork_many = (
        "import os, signal\nfor number in range(70):\n    if os.fork() == 0:\n"
        f"        signal.pause()\n        os._exit(0)\n{GO_ON}\nprint(number + 1)"
    )
    with Engine() as one, Engine() as other:
        printed = at_once(said, fork_many, fork_many, graders=[one, other])
    assert printed == ["70\n", "70\n"]


# ---------------------------------------------------------------- the folder that is shared

IN_ANOTHER_CONTAINER = ["bwrap", "--unshare-pid", "--as-pid-1", "--dev-bind", "/", "/"]
MAKE_ONE = "from autograder.sandbox.shared import SharedFolder; print(SharedFolder().path)"


def elsewhere(*code: str) -> str:
    """What Python code prints that runs as process 1 of another process namespace."""
    command = [*IN_ANOTHER_CONTAINER, "--proc", "/proc", sys.executable, "-c", "\n".join(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_living_graders_folder_stays_also_if_its_process_cannot_be_seen() -> None:
    """A grader in another container, with process ids of its own, once took it for an orphan's."""
    mine = SharedFolder()
    try:
        elsewhere(MAKE_ONE)
        assert mine.path.is_dir()
    finally:
        mine.remove()
    assert not mine.path.exists()


def test_a_killed_graders_folder_goes_also_if_its_process_id_lives() -> None:
    """Every process namespace has a process 1: a folder of one that was killed once stayed."""
    orphaned = Path(elsewhere(MAKE_ONE, "import os, sys; sys.stdout.flush(); os._exit(0)"))
    assert orphaned.is_dir()
    SharedFolder().remove()
    assert not orphaned.exists()
    assert not orphaned.with_suffix(".lock").exists()


def test_graders_that_start_together_do_not_remove_each_others_folders() -> None:
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: SharedFolder(), range(100)))
    assert len({folder.path for folder in folders}) == 100
    assert all(folder.path.is_dir() for folder in folders)
    for folder in folders:
        folder.remove()
    assert not [folder.path for folder in folders if folder.path.exists()]
