"""The arguments that choose a solver: refused where they make no sense, printed, kept, and without effect by default."""

import json
from typing import Any

import pytest
import torch

from crfrnn import CRFRNN
from tests.solvers.problems import KERNELS, LABELS, problem

CHOSEN: list[dict[str, Any]] = [
    {"damping": 0.3},
    {"damping": "auto", "gradient": "implicit"},
    {"solver": "frank_wolfe", "regularizer_weight": 5.0},
    {"solver": "frank_wolfe", "regularizer": "entropy", "regularizer_weight": 2.0, "step": "line_search"},
]


@pytest.mark.parametrize("chosen", CHOSEN)
def test_settings_rebuild_the_layer_and_print_names_them(chosen: dict[str, Any]) -> None:
    unary, image = problem()
    crf = CRFRNN(LABELS, KERNELS, 40, **chosen).double()
    again = CRFRNN.from_settings(json.loads(json.dumps(crf.settings()))).double()
    assert again.settings() == crf.settings()
    assert torch.equal(again(unary, image), crf(unary, image))
    for name, value in chosen.items():
        assert f"{name}={value!r}" in repr(crf)


def test_the_default_is_not_mentioned() -> None:
    crf = CRFRNN(LABELS, KERNELS)
    assert not {"solver", "damping", "regularizer", "regularizer_weight", "step", "gradient"} & set(crf.settings())
    assert "solver" not in repr(crf)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"solver": "newton"}, "solver is 'newton'; wanted one of 'mean_field', 'frank_wolfe'"),
    ({"gradient": "none"}, "gradient is 'none'; wanted one of"),
    ({"damping": 1.0}, "damping is 1.0; wanted the share"),
    ({"damping": -0.1}, "damping is -0.1"),
    ({"damping": True}, "damping is True"),
    ({"damping": "much"}, "damping is 'much'.* or 'auto'"),
    ({"damping": float("nan")}, "damping is nan"),
    ({"solver": "frank_wolfe", "regularizer": "l1"}, "regularizer is 'l1'; wanted one of 'l2', 'entropy'"),
    ({"solver": "frank_wolfe", "regularizer_weight": 0.0}, "regularizer_weight is 0.0; wanted a finite number above 0"),
    ({"solver": "frank_wolfe", "step": 0}, "step is 0; wanted a number above 0 and at most 1"),
    ({"solver": "frank_wolfe", "step": 1.5}, "step is 1.5"),
    ({"solver": "frank_wolfe", "step": "long"}, "step is 'long'.*'standard' or 'line_search'"),
    ({"solver": "frank_wolfe", "damping": 0.5}, "damping is 0.5 with solver='frank_wolfe'; it belongs to 'mean_field'"),
    ({"solver": "frank_wolfe", "gradient": "implicit"}, "gradient is 'implicit' with solver='frank_wolfe'"),
    ({"step": "standard"}, "step is 'standard' with solver='mean_field'; it belongs to 'frank_wolfe'"),
]


@pytest.mark.parametrize(("chosen", "message"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_makes_no_sense_is_refused(chosen: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CRFRNN(LABELS, KERNELS, **chosen)


def test_the_default_still_takes_the_fast_code_and_others_do_not(runs: list[int]) -> None:
    unary, image = problem()
    with torch.no_grad():
        CRFRNN(LABELS, KERNELS).double()(unary, image)
        assert runs == [1]
        for chosen in ({"damping": 0.5}, {"damping": "auto"}, {"solver": "frank_wolfe"}):
            CRFRNN(LABELS, KERNELS, **chosen).double()(unary, image)
    assert runs == [1]


@pytest.mark.parametrize("chosen", CHOSEN)
def test_tolerance_and_hidden_labels(chosen: dict[str, Any]) -> None:
    """A label that is nowhere has no belief, whatever the solver; iterations stop where nothing changes any more."""
    unary, image = problem()
    unary[0, 2] -= 20
    crf = CRFRNN(LABELS, KERNELS, 40, min_belief=1e-3, **chosen).double().requires_grad_(False)
    states = list(crf.iterate(unary, image))
    assert all(float(state.beliefs[0, 2].max()) == 0 for state in states)
    assert all(float(state.beliefs[1, 2].max()) > 0 for state in states)
    first = next(state for state in states if bool((state.residual() <= 1e-3).all()))
    torch.testing.assert_close(crf(unary, image, tolerance=1e-3), first.logits)
