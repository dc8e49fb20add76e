"""Random numbers go on after `%check` as if it had not been, in every library that is loaded."""

from __future__ import annotations

import random
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from autograder.study.live import run_checks

DRAWS = {
    "Python": random.random,
    "NumPy": np.random.rand,
    "torch": lambda: torch.rand(()).item(),
    "TensorFlow": lambda: float(tf.random.uniform(())),
    "Keras": lambda: float(keras.random.uniform(())),
}
TEST = """\
check = Checks(points=1)

@check(points=1, hint="None.")
def draws():
    "It draws."
    [draw() for draw in DRAWS.values()]

check.score()"""


@pytest.mark.parametrize("library", DRAWS)
def test_random_numbers_go_on_as_if_there_had_been_no_check(library: str) -> None:
    draw: Callable[[], float] = DRAWS[library]

    def drawn(between: Callable[[], object]) -> list[float]:
        keras.utils.set_random_seed(5)
        torch.manual_seed(5)
        first = draw()
        between()
        return [first, draw(), draw()]

    def check() -> None:
        assert run_checks("one", TEST, {"DRAWS": DRAWS}).total() == 1

    assert drawn(check) == drawn(lambda: None)
