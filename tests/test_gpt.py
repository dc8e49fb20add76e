"""The small GPT of the thread: the packaged weights, their file, and whose model a chapter gets."""

from __future__ import annotations

import importlib.util
import os
import random
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from sample_class import ROOT

from autograder import gpt, lesson


@pytest.fixture(scope="module")
def make_gpt() -> ModuleType:
    """The script that makes the packaged model."""
    loader = SourceFileLoader("make_gpt", str(ROOT / "tools" / "make_gpt"))
    spec = importlib.util.spec_from_loader("make_gpt", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course's folder, and a chapter in it that a learner works in."""
    (tmp_path / "nbgrader_config.py").touch()
    chapter = tmp_path / "work" / "ch02_overfitting"
    chapter.mkdir(parents=True)
    monkeypatch.chdir(chapter)
    return tmp_path


def small_model(seed: int = 0) -> gpt.GPT:
    torch.manual_seed(seed)
    return gpt.GPT(vocabulary=257)


def test_the_packaged_model_is_what_the_script_makes_of_chapter_1(make_gpt: ModuleType) -> None:
    with safe_open(gpt.PACKAGED, framework="pt") as file:
        recorded = file.metadata()["recipe"]
    assert recorded == make_gpt.digest(), "run tools/make_gpt, and look at what the model writes"
    assert gpt.PACKAGED.stat().st_size < 1_000_000


def test_the_packaged_model_predicts_text_that_it_has_not_read() -> None:
    _, validation = lesson.corpus()
    bits = lesson.gpt(own=False).bits_per_byte(validation)
    assert 1.6 < bits < 1.8  # 1.71 where it was made; Python's patch version changes the text


def test_the_same_seed_writes_the_same_text() -> None:
    model = lesson.gpt(own=False)
    first = model.write("The value", n_tokens=20, seed=3)
    assert first.startswith("The value")
    assert first == model.write("The value", n_tokens=20, seed=3)
    assert first != model.write("The value", n_tokens=20, seed=4)


def test_its_tokenizer_is_the_one_that_section_1_1_asks_for(make_gpt: ModuleType) -> None:
    chapter: dict[str, Any] = {"__name__": "chapter"}
    for code in [*make_gpt.code_cells("00_introduction"), *make_gpt.code_cells("01_tokens")]:
        exec(code, chapter)
    tokenizer = lesson.gpt(own=False).tokenizer
    chance = random.Random(0)
    letters = "abc the of _1 .\n\t(é☃𝄞"
    for _ in range(200):
        text = "".join(chance.choice(letters) for _ in range(chance.randrange(30)))
        ids = tokenizer.encode(text)
        assert ids == chapter["encode"](text, tokenizer.merges)
        cut = [chance.randrange(len(tokenizer)) for _ in range(5)]
        assert tokenizer.decode(cut) == chapter["decode"](cut, tokenizer.merges)


def test_a_saved_model_comes_back(tmp_path: Path) -> None:
    model, path = small_model(), tmp_path / "mine.safetensors"
    gpt.save(path, model, [(97, 98)])
    again = gpt.load(path)
    ids = torch.arange(64)[None]
    assert torch.allclose(again.model(ids), model(ids), atol=1e-2)
    assert again.tokenizer.merges == [(97, 98)]
    assert again.tokenizer.encode("abc") == [256, 99]
    assert [p.name for p in tmp_path.iterdir()] == ["mine.safetensors"]


class Other(gpt.GPT):
    """Has the same tensors and computes something else with them."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).flip(-1)


@pytest.mark.parametrize("model", [Other(vocabulary=257), torch.nn.Linear(2, 2)])
def test_a_model_of_another_kind_is_not_saved(tmp_path: Path, model: torch.nn.Module) -> None:
    with pytest.raises(ValueError, match=r"chapter 1's|other logits"):
        gpt.save(tmp_path / "mine.safetensors", model, [(97, 98)])
    assert not list(tmp_path.iterdir())


def spoil(path: Path, kind: str) -> None:
    """Writes a file that holds no usable model."""
    tensors = {name: tensor.half() for name, tensor in small_model().state_dict().items()}
    merges = "[[97, 98]]"
    if kind == "not a file of tensors":
        path.write_bytes(b"PK\x03\x04 something else")
        return
    if kind == "a tensor is missing":
        del tensors["norm.weight"]
    elif kind == "not finite":
        tensors["norm.weight"][0] = torch.inf
    elif kind == "a merge of the future":
        merges = "[[97, 300]]"
    elif kind == "tokens without end":
        merges = str([[97, 98], *([i, i] for i in range(256, 300))])
    save_file(tensors, path, metadata={"merges": merges})


@pytest.mark.parametrize(
    "kind",
    [
        "not a file of tensors",
        "a tensor is missing",
        "not finite",
        "a merge of the future",
        "tokens without end",
    ],
)
def test_a_file_without_a_usable_model_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "mine.safetensors"
    spoil(path, kind)
    with pytest.raises(ValueError, match=r"mine\.safetensors|merge"):
        gpt.load(path)


def test_a_chapter_gets_the_learner_s_newest_model(
    course: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lesson.gpt().path == gpt.PACKAGED
    assert "packaged" in capsys.readouterr().out
    older = lesson.save_gpt(small_model(0), [(97, 98)])
    assert older.parent == course / "work"
    newer = older.with_name("newer.safetensors")
    gpt.save(newer, small_model(1), [(97, 98)])
    os.utime(older, (1, 1))
    assert lesson.gpt().path == newer
    assert "yours: newer.safetensors" in capsys.readouterr().out
    spoil(newer, "not finite")
    assert lesson.gpt().path == older
    assert "newer.safetensors" in capsys.readouterr().out
    assert lesson.gpt(own=False).path == gpt.PACKAGED
    assert capsys.readouterr().out == ""
