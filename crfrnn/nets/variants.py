"""The published networks as a table of their differences. All of them are VGG-16 up to conv5_3.

DeepLab (Chen et al. 2015, arXiv 1412.7062), scores every 8 pixels. `field` is the field of view the paper states: in
pixels, zero padding included, pooling windows counted as VGG-16's 2x2 (see `crfrnn.nets.receptive_field`):

    name                   fc6   dilation  channels  pools  pool5a  branches    field  parameters
    deeplab                4x4   4         4096      2x2    no      no          308    65.14 M
    deeplab-7x7            7x7   4         4096      3x3    no      no          404    134.35 M
    deeplab-4x4            4x4   8         4096      3x3    no      no          404    65.14 M
    deeplab-largefov       3x3   12        1024      3x3    yes     no          404    20.51 M
    deeplab-msc            4x4   4         4096      3x3    no      yes, + fc8  308    65.14 M + 1.21 M
    deeplab-msc-largefov   3x3   12        1024      3x3    yes     yes         404    20.51 M + 1.21 M

"branches" says what is trained where there are branches: they alone, or they and fc8; the rest is frozen. The files of
deeplab-7x7 and deeplab-4x4 were not published: their poolings are assumed to be those of their family.

FCN (Long et al. 2015), scores at every pixel, through fixed bilinear upsampling by 32, by 2 and 16, or by 2, 2 and 8:

    name                   skips from     their scale
    fcn-32s                               the features
    fcn-16s                pool4          1
    fcn-8s                 pool4, pool3   1, 1
    fcn-8s-at-once         pool4, pool3   0.01, 0.0001: for training in one go from VGG-16 instead of in stages
"""

from dataclasses import dataclass

from crfrnn.nets.layers import Layer

# (block, convolutions, channels); a pooling follows each block.
BLOCKS = ((1, 2, 64), (2, 2, 128), (3, 3, 256), (4, 3, 512), (5, 3, 512))
CONVOLUTIONS = tuple(f"conv{block}_{i}" for block, count, _ in BLOCKS for i in range(1, count + 1))

RELEASED_STRIDE = 8


@dataclass(frozen=True)
class DeepLabVariant:
    """One row of the first table. `fc6_dilation` is in scores, 8 pixels each."""

    fc6_kernel: int
    fc6_dilation: int
    channels: int
    pool_kernel: int = 3
    average_pool: bool = False
    branches: bool = False
    trains_fc8: bool = True


@dataclass(frozen=True)
class FCNVariant:
    """One row of the second table."""

    skips: tuple[str, ...] = ()
    scales: tuple[float, ...] = ()


VARIANTS: dict[str, DeepLabVariant | FCNVariant] = {
    "deeplab": DeepLabVariant(4, 4, 4096, pool_kernel=2),
    "deeplab-pool3": DeepLabVariant(4, 4, 4096),
    "deeplab-7x7": DeepLabVariant(7, 4, 4096),
    "deeplab-4x4": DeepLabVariant(4, 8, 4096),
    "deeplab-largefov": DeepLabVariant(3, 12, 1024, average_pool=True),
    "deeplab-msc": DeepLabVariant(4, 4, 4096, branches=True),
    "deeplab-msc-largefov": DeepLabVariant(3, 12, 1024, average_pool=True, branches=True, trains_fc8=False),
    "fcn-32s": FCNVariant(),
    "fcn-16s": FCNVariant(("pool4",), (1.0,)),
    "fcn-8s": FCNVariant(("pool4", "pool3"), (1.0, 1.0)),
    "fcn-8s-at-once": FCNVariant(("pool4", "pool3"), (0.01, 0.0001)),
}


def deeplab_layers(variant: DeepLabVariant, output_stride: int | None, training: bool) -> tuple[Layer, ...]:
    """conv1_1 ... fc6 of a DeepLab network.

    With `output_stride` None the poolings have the windows of the released files, whose stride is 8: those after the
    last subsampling look at neighbors 8 pixels apart. With 32, 16 or 8 they, too, are dilated (the "holes" of the atrous
    algorithm), and pool5a, which VGG-16 does not have, is left out, so that the three compute the same function at three
    densities.
    """
    wanted = output_stride or RELEASED_STRIDE
    layers, step, hole = [], 1, 1
    for block, count, _ in BLOCKS:
        layers += [Layer(f"conv{block}_{i}", 3, dilation=hole, padding=hole) for i in range(1, count + 1)]
        window = hole if output_stride else 1
        kernel = 3 if block == 5 else variant.pool_kernel
        # A 2x2 window that does not subsample is padded at test time only, as in the released files.
        bare = kernel == 2 and block == 4 and training and not output_stride
        subsampling = 2 if step < wanted else 1
        layers.append(Layer(f"pool{block}", kernel, subsampling, window, 0 if bare else window))
        step, hole = step * subsampling, hole * 2 // subsampling
    if variant.average_pool and not output_stride:
        layers.append(Layer("pool5a", 3, padding=1))
    dilation = variant.fc6_dilation * RELEASED_STRIDE // wanted
    padding = -(-dilation * (variant.fc6_kernel - 1) // 2)
    return (*layers, Layer("fc6", variant.fc6_kernel, dilation=dilation, padding=padding))


def fcn_layers() -> tuple[Layer, ...]:
    """conv1_1 ... fc6 of FCN: VGG-16 with 100 pixels of padding, so that fc6 fits into images of any size."""
    layers = []
    for block, count, _ in BLOCKS:
        layers += [
            Layer(f"conv{block}_{i}", 3, padding=100 if (block, i) == (1, 1) else 1) for i in range(1, count + 1)
        ]
        layers.append(Layer(f"pool{block}", 2, stride=2))
    return (*layers, Layer("fc6", 7))
