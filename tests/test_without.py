"""What `forbidden` puts out of reach, under which names, and that all of it comes back."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
import scipy.linalg
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own habit)
from numpy.linalg import lstsq as another_name
from sklearn.linear_model import Ridge

from autograder.without import Forbidden, forbidden

A, B = np.eye(3), np.ones(3)
X = torch.eye(3)
SOFTMAX = "torch.nn.functional.softmax"


@pytest.mark.parametrize(
    ("names", "call"),
    [
        (["numpy.linalg.lstsq"], lambda: np.linalg.lstsq(A, B, rcond=None)),
        (["numpy.linalg.lstsq"], lambda: another_name(A, B, rcond=None)),
        (["sklearn.linear_model.Ridge.fit"], lambda: Ridge().fit(A, B)),
        (["scipy.linalg.lapack.?gels*"], lambda: scipy.linalg.lapack.dgelss(A, B)),
        (["scipy.linalg.lapack.?gels*"], lambda: scipy.linalg.lstsq(A, B)),
        ([SOFTMAX], lambda: F.softmax(X, -1)),
        ([SOFTMAX], lambda: X.softmax(-1)),
        ([SOFTMAX], lambda: torch.softmax(X, -1)),
        ([SOFTMAX], lambda: torch.nn.Softmax(-1)(X)),
        ([SOFTMAX], lambda: torch.ops.aten._softmax(X, -1, False)),
        (["torch.linalg.pinv"], lambda: torch.pinverse(X)),
        (["torch.linalg.pinv"], lambda: torch.ops.aten.linalg_pinv(X)),
    ],
)
def test_a_function_is_refused_under_all_its_names(
    names: list[str], call: Callable[[], object]
) -> None:
    call()
    with forbidden(*names), pytest.raises(Forbidden, match="do without"):
        call()
    call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: F.scaled_dot_product_attention(X[None], X[None], X[None]),
        lambda: torch.nn.MultiheadAttention(3, 1)(X, X, X, need_weights=False),
    ],
)
def test_an_operation_is_refused_wherever_it_is_asked_for(call: Callable[[], object]) -> None:
    with forbidden(operations=("*scaled_dot_product*",)), pytest.raises(Forbidden):
        call()
    call()


def test_an_operation_of_the_backward_pass_is_refused() -> None:
    x = torch.ones(2, 3, requires_grad=True)
    out = F.softmax(x, -1).sum()
    with forbidden(operations=("softmax_backward_data",)), pytest.raises(Forbidden):
        out.backward()


def test_everything_else_goes_on() -> None:
    with forbidden("numpy.linalg.lstsq", SOFTMAX):
        assert np.allclose(np.linalg.solve(A, B), B)
        assert torch.equal(X @ X, X)
        assert torch.allclose(
            X.exp() / X.exp().sum(-1, keepdim=True),
            torch.tensor((np.exp(A) / np.exp(A).sum(-1, keepdims=True)).astype(np.float32)),
        )


def test_all_is_as_before_after_an_error_and_after_blocks_inside_each_other() -> None:
    before = np.linalg.lstsq, F.softmax, Ridge.fit, F.softmax.__code__
    with pytest.raises(KeyError), forbidden("numpy.linalg.lstsq", SOFTMAX), forbidden(SOFTMAX):
        raise KeyError
    assert (np.linalg.lstsq, F.softmax, Ridge.fit, F.softmax.__code__) == before
    with forbidden(SOFTMAX):
        with forbidden(SOFTMAX):
            pass
        with pytest.raises(Forbidden):
            F.softmax(X, -1)
    F.softmax(X, -1)


def test_a_reference_that_was_kept_in_a_partial_is_refused_if_the_function_is_python() -> None:
    kept = functools.partial(F.softmax, dim=-1)
    with forbidden(SOFTMAX), pytest.raises(Forbidden):
        kept(X)


def test_a_name_that_does_not_exist_is_the_author_s_mistake() -> None:
    with pytest.raises(AttributeError), forbidden("numpy.linalg.lstsqq"):
        pass
    with pytest.raises(AttributeError, match="nothing like"), forbidden("numpy.linalg.zz*"):
        pass
