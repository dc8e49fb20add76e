"""The recipe of docs/scale.md for two machines, with two network namespaces for machines.

Each has its own copy of the package and its own environment, and sees nothing of the other's
folder or of the course from which both were made: only addresses connect them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from command import hand_in
from dask_workers import wait_until
from sample_class import ROOT
from tiny import NOTEBOOK
from tiny import TINY as CHAPTER
from tiny_class import POINTS, make_course, students

from autograder.course.source import Assignment

ADDRESSES = {"host1": "10.77.0.1", "host2": "10.77.0.2"}


@dataclass
class Host:
    """A machine of its own, nearly."""

    namespace: str
    folder: Path
    hidden: list[Path]

    @property
    def course(self) -> Path:
        return self.folder / "course"

    def command(self, line: str) -> list[str]:
        """What runs a line of the guide here."""
        for name, address in ADDRESSES.items():
            line = line.replace(name, address)
        program, *words = line.split()
        own = [sys.executable, *([] if program == "python" else ["-m", Path(program).name])]
        # The environment has gigabytes: each host has its own with another package in it.
        layers = f"lowerdir={self.folder / 'layer'}:{sys.prefix}"
        mounts = [f"mount -t overlay overlay -o '{layers}' '{sys.prefix}'"]
        mounts += [f"mount -t tmpfs tmpfs '{path}'" for path in self.hidden]
        script = " && ".join([*mounts, 'exec "$@"'])
        return ["ip", "netns", "exec", self.namespace, "sh", "-c", script, "sh", *own, *words]


def lines() -> list[tuple[str, str]]:
    """The recipe: on which host which command is given."""
    text = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    return re.findall(r"^(host\d)\$ (.*?)(?: +#.*)?$", text, re.MULTILINE)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[dict[str, Host]]:
    if os.getuid() or not shutil.which("ip"):
        pytest.skip("network namespaces need root and iproute2")
    with ExitStack() as stack:
        made = {}
        for name in ADDRESSES:
            host = Host(f"{name}-{os.getpid()}", tmp_path / name, [])
            host.course.mkdir(parents=True)
            shutil.copytree(ROOT / "autograder", host.course / "autograder")
            for path in Path(sys.prefix).glob("lib/*/site-packages/*autograder*.pth"):
                own = host.folder / "layer" / path.relative_to(sys.prefix)
                own.parent.mkdir(parents=True)
                own.write_text(str(host.course))
            if subprocess.run(["ip", "netns", "add", host.namespace], check=False).returncode:
                pytest.skip("no network namespace can be made here")
            stack.callback(ip, "netns", "delete", host.namespace)
            made[name] = host
        first, second = made.values()
        for host, other in ((first, second), (second, first)):
            host.hidden = [other.folder, ROOT / "autograder", ROOT / "source", ROOT / "tests"]
        peer = "peer", "name", "eth", "netns", second.namespace
        veth = ["ip", "link", "add", "eth", "netns", first.namespace, "type", "veth", *peer]
        mount = first.command("python -c pass")
        if any(subprocess.run(tried, check=False).returncode for tried in (veth, mount)):
            pytest.skip("no pair of network devices or no overlay can be made here")
        for name, host in made.items():
            ip("-n", host.namespace, "address", "add", f"{ADDRESSES[name]}/24", "dev", "eth")
            ip("-n", host.namespace, "link", "set", "eth", "up")
            ip("-n", host.namespace, "link", "set", "lo", "up")
        yield made


def test_the_recipe_for_two_machines(
    hosts: dict[str, Host], tmp_path: Path, tiny_chapter: Assignment
) -> None:
    first, second = hosts.values()
    made = students(tiny_chapter)
    course = make_course(first.course)
    shutil.copy(ROOT / "requirements.lock", course.root)
    hand_in(course.root, CHAPTER, NOTEBOOK, {name: made[name] for name in ("ada", "chen", "luis")})
    recipe = lines()
    assert [host for host, _ in recipe] == ["host1", "host1", "host2", "host1"]
    with ExitStack() as stack:
        for number, (name, line) in enumerate(recipe[:-1]):
            host = hosts[name]
            log = tmp_path / f"{number}.log"
            process = stack.enter_context(
                subprocess.Popen(host.command(line), cwd=host.course, stderr=log.open("wb"))
            )
            stack.callback(process.terminate)
            said = "Registered to:" if " worker " in line else "Scheduler at:"
            wait_until(lambda said=said, log=log: said in log.read_text())
        line = recipe[-1][1].replace("ch01_concepts", CHAPTER)
        graded = subprocess.run(
            [*first.command(line), "--json", "marks.json"],
            cwd=first.course,
            capture_output=True,
            text=True,
            check=False,
        )
        assert graded.returncode == 0, graded.stderr
    records = json.loads((first.course / "marks.json").read_text())
    assert [(record["student"], record["score"]) for record in records] == [
        ("ada", POINTS),
        ("chen", 6),
        ("luis", None),
    ]
    assert not (second.course / "source").exists()
