"""Every wrong input meets an error that says what came, what was wanted and how to fix it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from crfrnn.lattice import Lattice, exact_gaussian_filter, permutohedral_filter

VALUES, FEATURES = torch.zeros(2, 5, 3), torch.zeros(2, 5, 4)
NAN = torch.full((2, 5, 3), float("nan"))


@pytest.mark.parametrize("run", [permutohedral_filter, exact_gaussian_filter])
@pytest.mark.parametrize(
    ("values", "features", "error", "message"),
    [
        (VALUES, [[0.0]], TypeError, r"features came as list.*\[B, N, D\].*as_tensor"),
        ([[0.0]], FEATURES, TypeError, r"values came as list.*\[B, N, C\].*as_tensor"),
        (VALUES, FEATURES[0], ValueError, r"features came with shape \[5, 4\].*B = 1"),
        (VALUES[0], FEATURES, ValueError, r"values came with shape \[5, 3\].*B = 1"),
        (VALUES, FEATURES.half(), TypeError, r"features are torch.float16.*\.float\(\)"),
        (VALUES.long(), FEATURES, TypeError, r"values are torch.int64.*\.float\(\)"),
        (VALUES.double(), FEATURES, TypeError, r"values are torch.float64, but the features are torch.float32.*\.to"),
        (VALUES.to("meta"), FEATURES, ValueError, r"values are on meta, but the features are on (cpu|cuda).*\.to"),
        (VALUES[:, :4], FEATURES, ValueError, r"values came as \[2, 4, 3\].*B = 2 and N = 5"),
        (VALUES[:1], FEATURES, ValueError, r"values came as \[1, 5, 3\].*B = 2 and N = 5"),
        (VALUES[..., :0], FEATURES, ValueError, r"values came as \[2, 5, 0\].*at least one channel"),
        (VALUES[:, :0], FEATURES[:, :0], ValueError, r"features came with shape \[2, 0, 4\].*N >= 1"),
        (VALUES[:0], FEATURES[:0], ValueError, r"features came with shape \[0, 5, 4\].*B >= 1"),
        (VALUES, FEATURES[..., :0], ValueError, r"D = 0 dimensions, wanted 1 to 16"),
        (VALUES, torch.zeros(2, 5, 17), ValueError, r"D = 17 dimensions, wanted 1 to 16.*\[2, 5, 17\].*transpose"),
        (VALUES, NAN, ValueError, r"features contain NaN or infinite.*bandwidth of 0"),
        (VALUES, FEATURES / 0, ValueError, r"features contain NaN or infinite"),
        (NAN, FEATURES, ValueError, r"values contain NaN or infinite.*clamp or mask"),
    ],
)
def test_wrong_input(
    run: Callable[[Tensor, Tensor], Tensor], values: Tensor, features: Tensor, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(values, features)


@pytest.mark.parametrize(
    ("dtype", "span", "message"),
    [
        (torch.float32, 1e9, r"feature axis 1 spans 1e\+09 standard deviations.*enlarge the bandwidth that axis 1"),
        (torch.float64, 1e30, r"feature axis 1 spans 1e\+30"),
    ],
)
def test_coordinates_that_do_not_fit_name_the_axis(dtype: torch.dtype, span: float, message: str) -> None:
    features = torch.randn(1, 4, 3, dtype=dtype)
    features[0, :, 1] *= span / (features[0, :, 1].amax() - features[0, :, 1].amin())
    with pytest.raises(ValueError, match=message):
        Lattice.build(features)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("run", [permutohedral_filter, exact_gaussian_filter])
@pytest.mark.parametrize("share", [1e-30, 0.15, 1.0], ids=["beyond precision", "differences overflow", "largest"])
def test_features_up_to_the_largest_number_are_refused(
    run: Callable[[Tensor, Tensor], Tensor], share: float, dtype: torch.dtype
) -> None:
    """With signs that differ: inf - inf is no number, and no number can be ranked."""
    features = share * torch.finfo(dtype).max * torch.tensor([[1.0, -1.0, 1.0], [-1.0, 1.0, 0.5]], dtype=dtype)
    with pytest.raises(ValueError, match="too far for the precision of"):
        run(torch.ones(1, 2, 1, dtype=dtype), features[None])


def test_the_diagonal_of_many_dimensions_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at most 8 feature dimensions, and there are 9.*filter='exact'"):
        Lattice.build(torch.zeros(1, 3, 9)).diagonal()


def test_a_single_point_too_far_out() -> None:
    with pytest.raises(ValueError, match=r"feature axis 0 .* from 1e\+12 to 1e\+12"):
        Lattice.build(torch.tensor([[[1e12, 0.0]]]))


def test_repeat_wants_one_image_and_a_positive_count() -> None:
    with pytest.raises(ValueError, match=r"repeat\(3\) of a lattice with B = 2.*\[1, N, D\]"):
        Lattice.build(FEATURES).repeat(3)
    with pytest.raises(ValueError, match=r"repeat\(0\).*batch >= 1"):
        Lattice.build(FEATURES[:1]).repeat(0)
