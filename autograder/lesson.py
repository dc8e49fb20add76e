"""What chapters share: the style of figures, quiet imports, the text and the model of the thread.

Chapters call this in their notebooks; the grader does not use it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from autograder.gpt import LanguageModel


def use_style() -> None:
    """Applies the course's matplotlib style (figures.mplstyle: colour-blind safe, 90 dpi)."""
    import matplotlib.pyplot as plt

    plt.style.use("autograder.figures")


@contextmanager
def quiet() -> Iterator[None]:
    """Drops what native libraries write to standard error inside the block.

    TensorFlow 2.21 logs through absl before its log level can be set, so that its import
    prints four lines about the build that no reader can act on.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # for what it logs later
    saved = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def corpus() -> tuple[str, str]:
    """CPython's language reference as (training, validation) text, in English.

    The source is `pydoc_data.topics` of the running Python (PSF licence), so the text differs a
    little between versions. One paragraph in five is a repetition, as topics quote each other: of
    equal paragraphs only the first is kept. Neighbours are alike, too, so the text is split in
    blocks of twenty paragraphs, and each tenth block is for validation.
    """
    from pydoc_data.topics import topics

    paragraphs: dict[str, str] = {}
    for topic in sorted(topics):
        for paragraph in topics[topic].split("\n\n"):
            if words := " ".join(paragraph.split()):  # the same, whatever its indentation
                paragraphs.setdefault(words, paragraph)
    kept = list(paragraphs.values())
    blocks = ["\n\n".join(kept[i : i + 20]) + "\n\n" for i in range(0, len(kept), 20)]
    training = (block for i, block in enumerate(blocks) if i % 10 != 9)
    return "".join(training), "".join(blocks[9::10])


def work_folder() -> Path:
    """Where a learner's own files lie: `work`, in the course's folder or beside the chapter's."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "nbgrader_config.py").is_file():
            return folder / "work"
    return here.parent / "work"


def save_gpt(model: nn.Module, merges: list[tuple[int, int]]) -> Path:
    """Keeps the model of section 1.5 for the later chapters, in a new file in `work_folder()`.

    Raises:
        ValueError: it is no such model, or its attention computes something else than torch's.
    """
    from autograder import gpt as files

    path = work_folder() / time.strftime("gpt_%Y-%m-%d_%H%M%S.safetensors")
    path.parent.mkdir(exist_ok=True)
    files.save(path, model, merges)
    return path


def gpt(own: bool = True) -> LanguageModel:
    """The course's small GPT: the learner's, if one was saved in chapter 1, or else a packaged one.

    Says which, in one line. Of several files the newest that holds a model counts.

    Args:
        own: False: the packaged one in any case, without a word.

    >>> lesson.gpt(own=False).write("The", n_tokens=3)  # doctest: +SKIP
    """
    from autograder import gpt as files

    saved = sorted(work_folder().glob("*.safetensors"), key=os.path.getmtime, reverse=True)
    for path in saved if own else []:
        try:
            model = files.load(path)
        except (OSError, ValueError):
            print(f"{path.name} in {path.parent} holds no model like chapter 1's and is left out.")
        else:
            print(f"The model is yours: {path.name}, saved in {path.parent}.")
            return model
    if own:
        print("The model is the packaged one.")
    return files.load(files.PACKAGED)
