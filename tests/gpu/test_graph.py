"""Tables padded to one of few sizes, and a loop that is recorded once and replayed for other images.

What a GPU captures is replayed with CRFRNN_TEST_DEVICE=cuda; in Triton's interpreter a recording runs its loop again.
"""

from typing import Any

import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN, gpu, native
from crfrnn.gpu.model import Model, padded, padded_count
from crfrnn.lattice import Lattice, sums
from crfrnn.lattice.tables import Tables
from tests.fused_problems import layer, problem

needs_triton = pytest.mark.skipif(
    not gpu.runs(torch.empty(0)),
    reason="2026-11-26: needs a GPU, or Triton and TRITON_INTERPRET=1; .ci/gpu runs these",
)


def test_four_sizes_for_every_doubling() -> None:
    wanted = {1: 1, 7: 7, 8: 8, 9: 10, 10: 10, 11: 12, 13: 14, 15: 16, 16: 16, 17: 20, 33: 40, 41: 48, 34_302: 40_960}
    assert {count: padded_count(count) for count in wanted} == wanted
    assert len({padded_count(count) for count in range(1025, 2049)}) == 4


@pytest.mark.parametrize("points", [36, 400])
def test_padding_changes_no_sum(points: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In plain torch, to the last bit; with few pairs, and with a bag that is cut into parts."""
    monkeypatch.setenv("CRFRNN_GPU", "torch")
    features, values = torch.randn(1, points, 2, device="cpu").to(torch.get_default_device()), torch.randn(points, 3)
    features[:, points // 2 :] = features[:, :1]
    with native.disabled():
        lattice = Lattice.build(features)
    tables = lattice.tables
    assert isinstance(tables, Tables)
    weights, ordered = lattice.weights, tables.sorted_weights(lattice.weights)
    model = Model(
        tables.slice_index, *tables.parts, tables.pair_point, tables.blur_index, weights, weights, ordered, ordered,
        torch.tensor([tables.num_vertices]),
    )  # fmt: skip
    found = []
    for each in (model, padded(model)):
        vertices = sums.sum_bags(each.part_begin, each.pair_point, values, each.sorted_splat)
        vertices = sums.sum_parts(each.part_start, vertices)
        for neighbors in each.neighbors:
            own, after, before = neighbors.long().unbind(1)
            reached = [torch.where((there != own)[:, None], vertices[there], 0.0) for there in (after, before)]
            vertices = vertices + reached[0] / 2 + reached[1] / 2
        found.append((vertices, sums.sum_rows(each.slice_index, vertices, each.slice_weights)))
    (short, wanted), (long, got) = found
    assert len(long) == padded_count(len(short)) > len(short)
    assert torch.equal(long[: len(short)], short)
    assert not long[len(short) :].any()
    assert torch.equal(got, wanted)


@pytest.fixture
def recordings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that gets one entry for every recording; none are there before."""
    from crfrnn.gpu import graph

    seen: list[int] = []
    original = graph.recorded

    def counted(*arguments: Any, **options: Any) -> Any:
        seen.append(1)
        return original(*arguments, **options)

    monkeypatch.setattr(graph, "recorded", counted)
    graph._KEPT.clear()
    return seen


def images(count: int) -> list[tuple[Tensor, Tensor]]:
    """Problems of one size whose numbers of vertices differ: the flat sky of one grows by a pixel from that of the last."""
    scene = problem(3, dtype=torch.float32)[1]
    scene[..., :3] = scene[..., :1, :1]
    found = []
    for _ in range(count):
        scene = scene.clone()
        scene[..., len(found), 3] = scene[..., 0, 0]
        found.append((problem(3, dtype=torch.float32)[0], scene))
    return found


def logits(crf: CRFRNN, given: tuple[Tensor, Tensor], code: str, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    monkeypatch.setenv("CRFRNN_GPU", code)
    with native.disabled():
        return crf(*given, num_iterations=2)


@needs_triton
def test_replaying_gives_the_same(recordings: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last bit, for all images with one recording for each padded size, in inference mode and outside."""
    crf, given = layer(3, "free", "matrix").float().requires_grad_(False), images(3)
    wanted = [logits(crf, each, "triton", monkeypatch) for each in given]
    assert not recordings
    with native.disabled():
        kernels = [crf.build_kernels({"image": image}, unary) for unary, image in given]
    counts = [each.stack.num_vertices for each in kernels]  # type: ignore[union-attr]
    sizes = set(map(padded_count, counts))
    assert len(sizes) < len(set(counts)) == len(given)
    with torch.inference_mode():
        got = [logits(crf, each, "graph", monkeypatch) for each in given]
    again = [logits(crf, each, "graph", monkeypatch) for each in given]
    assert len(recordings) == len(sizes)
    for ours, theirs in zip(got + again, wanted + wanted, strict=True):
        assert torch.equal(ours, theirs)


@needs_triton
def test_few_recordings_are_kept(recordings: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    from crfrnn.gpu import graph

    monkeypatch.setattr(graph, "MOST_KEPT", 1)
    crf, given = layer(3).float().requires_grad_(False), images(1)[0]
    smaller = given[0][:, :, 1:], given[1][:, :, 1:]
    for each in (given, smaller, given):
        assert torch.equal(logits(crf, each, "graph", monkeypatch), logits(crf, each, "triton", monkeypatch))
    assert len(recordings) == 3
    assert len(graph._KEPT) == 1


@needs_triton
def test_training_and_many_labels_are_not_replayed(recordings: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    logits(layer(3).float(), images(1)[0], "graph", monkeypatch).sum().backward()
    many = problem(33, height=2, width=3, dtype=torch.float32)
    logits(layer(33).float().requires_grad_(False), many, "graph", monkeypatch)
    assert not recordings
