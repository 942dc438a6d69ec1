"""Names of the curves of a run."""

from crfrnn import appearance_kernel, smoothness_kernel
from train.board.curves import bandwidth_names


def test_every_bandwidth_has_a_name_of_its_own() -> None:
    for kernel in (smoothness_kernel(), appearance_kernel(), appearance_kernel((3.0, 4.0), (5.0, 6.0, 7.0))):
        names = bandwidth_names(kernel)
        assert len(set(names)) == len(names) == len(kernel.bandwidths)
