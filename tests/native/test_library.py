"""When compiled code is used, and that it survives copies, threads of the caller's and forks."""

import copy
import multiprocessing
import pickle
import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN, native
from crfrnn.lattice import Lattice
from crfrnn.lattice.compiled import CompiledTables
from tests.threads import threads


def problem(labels: int = 5, size: int = 12) -> tuple[Tensor, Tensor]:
    return 2 * torch.randn(1, labels, size, size), 255 * torch.rand(1, 3, size, size)


def is_compiled(dtype: torch.dtype = torch.float32) -> bool:
    return isinstance(Lattice.build(torch.randn(1, 4, 2, dtype=dtype)).tables, CompiledTables)


def test_only_for_numbers_it_was_compiled_for() -> None:
    assert native.library(torch.float32) is not None
    assert native.library(torch.float64) is not None
    assert native.library(torch.float32) is not native.library(torch.float64)
    assert native.library(torch.float16) is None
    assert native.library(torch.bfloat16) is None


def test_switched_off_for_a_while() -> None:
    assert is_compiled()
    with native.disabled():
        assert not is_compiled()
        with native.disabled():
            assert not is_compiled()
        assert not is_compiled(torch.float64)
    assert is_compiled()
    with pytest.raises(ZeroDivisionError), native.disabled():
        _ = 1 / 0
    assert is_compiled()


def test_switched_off_in_one_thread_alone() -> None:
    found = []
    with native.disabled():
        other = threading.Thread(target=lambda: found.append(is_compiled()))
        other.start()
        other.join()
    assert found == [True]


def test_switched_off_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    unary, image = problem()
    crf = CRFRNN(5)
    wanted = crf(unary, image)
    monkeypatch.setenv("CRFRNN_NATIVE", "0")
    assert not is_compiled()
    torch.testing.assert_close(crf(unary, image), wanted, rtol=1e-4, atol=1e-4)
    monkeypatch.setenv("CRFRNN_NATIVE", "1")
    assert is_compiled()


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("min_belief", [0.0, 0.1])
def test_two_runs_are_equal_bit_by_bit(count: int, min_belief: float) -> None:
    unary, image = problem(size=40)
    crf = CRFRNN(5, min_belief=min_belief)
    runs = []
    with threads(count):
        for _ in range(2):
            leaf = unary.clone().requires_grad_()
            crf.zero_grad()
            with torch.set_grad_enabled(min_belief == 0):
                out = crf(leaf, image)
            if min_belief == 0:
                out.square().sum().backward()
                runs.append([out.detach(), leaf.grad, crf.cell.kernel_weights.grad, crf.cell.compatibility.grad])
            else:
                runs.append([out])
    assert all(torch.equal(first, second) for first, second in zip(*runs, strict=True))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda crf: pickle.loads(pickle.dumps(crf))])
def test_copies_of_a_layer_that_was_used(copied: Callable[[CRFRNN], CRFRNN]) -> None:
    unary, image = problem()
    crf = CRFRNN(5, kernel_weights="matrix", min_belief=1e-3)
    wanted = crf(unary, image)
    assert torch.equal(copied(crf)(unary, image), wanted)


def test_callers_with_threads_of_their_own() -> None:
    problems = [problem() for _ in range(4)]
    crf = CRFRNN(5).requires_grad_(False)
    with threads(2):
        wanted = [crf(*each) for each in problems]
        got: dict[int, Tensor] = {}
        callers = [
            threading.Thread(target=lambda i=i, each=each: got.__setitem__(i, crf(*each)))
            for i, each in enumerate(problems)
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    for i, out in enumerate(wanted):
        torch.testing.assert_close(got[i], out, rtol=1e-5, atol=1e-5)


def answer(features: Tensor, values: Tensor, results: "multiprocessing.SimpleQueue[list[float]]") -> None:
    lattice = Lattice.build(features)
    results.put(lattice.filter(values).flatten().tolist())


@pytest.mark.parametrize("count", [1, 3])
def test_a_forked_child(count: int) -> None:
    """It has none of the threads that its parent has used, and computes with one."""
    features, values = torch.randn(1, 40, 3, dtype=torch.float64), torch.randn(1, 40, 2, dtype=torch.float64)
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    with threads(count):
        wanted = Lattice.build(features).filter(values)
        child = context.Process(target=answer, args=(features, values, results), daemon=True)
        child.start()
        child.join(60)
        finished = child.exitcode
        if finished is None:
            child.kill()
    assert finished == 0
    torch.testing.assert_close(torch.tensor(results.get(), dtype=torch.float64), wanted.flatten(), rtol=0, atol=1e-14)
