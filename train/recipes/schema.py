"""What a training run does, as data: every field can be overridden on the command line of `train.run`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from crfrnn.parts import Parts
from crfrnn.presets import FixedCRF


@dataclass(frozen=True)
class EStep:
    """How the labels of pixels are estimated from what is known of an image; see crfrnn.weak."""

    method: Literal["em-adapt", "em-fixed", "mil"] = "em-adapt"
    foreground_bias: float = 5.0
    """em-fixed: what the scores of labels that are present are raised by"""
    background_bias: float = 3.0
    """em-fixed: what the score of the background is raised by"""
    foreground_portion: float = 0.2
    """em-adapt: share of the image that each label but the background wins"""
    background_portion: float = 0.4
    """em-adapt: share of the image that the background wins"""
    rounds: int = 5
    """em-adapt: how often every label has its turn"""


@dataclass(frozen=True)
class CrfLoss:
    """The dense CRF loss of the images of a source, see crfrnn.losses.dense_crf_loss: like pixels are to be of one label."""

    weight: float = 0.0
    """of the mean over pixels, beside the cross-entropy; 0 for none"""
    theta_alpha: float = 100.0
    """pixels"""
    theta_beta: float = 15.0
    """gray levels"""
    stride: int = 1
    """the loss looks at one in this many along each axis of the pixels that the cross-entropy looks at"""


@dataclass(frozen=True)
class Source:
    """Images of one kind of annotation, from a list of their own: `count` of them are in every batch."""

    count: int
    """images of this source in every batch"""
    split: str
    """their list"""
    annotation: Literal["pixels", "scribbles", "boxes", "image"] = "pixels"
    """what is known: the labels of pixels, those of scribbles (maps of train.targets as `masks`), boxes (maps of Bbox-Rect
    as `masks`, by em-fixed), or which labels occur in the crop, of masks or of such maps of boxes"""
    weight: float = 1.0
    """what its loss is multiplied by, before the losses of all sources are added"""
    data: Literal["data", "coco"] = "data"
    """the folder in --data, or that in --coco"""
    masks: str | None = None
    """folder of its label maps, in --targets (or in the data set without that); None for the masks of the data set"""
    joint: bool = False
    """tell COCO's other categories apart, too, in the `extra_labels` of the recipe, instead of as background"""
    e_step: EStep = field(default_factory=EStep)
    crf_loss: CrfLoss = field(default_factory=CrfLoss)


@dataclass(frozen=True)
class Loss:
    """What a stage minimizes where the labels of pixels are known."""

    cross_entropy: float = 1.0
    """weight of the cross-entropy, a mean over pixels"""
    temperature: float = 1.0
    """what it divides the logits by. Those of mean field are over-confident: their cross-entropy falls with smaller kernel
    weights, whether or not the labels get better, unless they are divided by about 2"""
    learn_temperature: bool = False
    """whether the temperature is learned, too; it is no part of the model"""
    jaccard: float = 0.0
    """weight of 1 - I / U over the labels of an image, in probabilities (soft Jaccard); see crfrnn.losses"""
    lovasz: float = 0.0
    """weight of the Lovasz-softmax loss, likewise"""


@dataclass(frozen=True)
class Stage:
    """One stage of training. Rates are those of the trunk; the others are multiples of it."""

    steps: int
    """steps of the optimizer in this stage"""
    batch_size: int
    """images per step, over all processes, accumulated passes and sources"""
    lr: float
    """rate of the trunk at the beginning"""
    trains: Literal["network", "crf", "joint"] = "network"
    """the network without a CRF, the parameters of the CRF on a frozen network, or both"""
    start: str | None = None
    """the earlier stage this one begins from; None for the one before it"""
    like: str | None = None
    """the stage that this one is like: it has all fields of that one but trains, start and this. One that trains the network
    alone and is like one that trains jointly is its control: it differs in nothing but the CRF"""
    network: str | None = None
    """network of this stage; None for that of the recipe"""
    mixture: Mapping[str, Source] = field(default_factory=dict)
    """what batches are made of, by name; without any, images of the training list with their masks"""
    dropout: float | None = None
    """dropout of this stage; None for that of the recipe"""
    accumulate: int = 1
    """forward and backward passes per step; each takes its share of the batch, which saves memory"""
    schedule: Literal["poly", "step", "fixed"] = "poly"
    """how the rates fall: smoothly to zero, to a tenth at regular intervals, or not at all"""
    power: float = 0.9
    """poly: rate = lr (1 - step / steps)^power"""
    step_size: int = 2000
    """step: the rate falls to a tenth at regular intervals"""
    warmup: int = 0
    """steps over which the rate rises linearly from zero"""
    new_layers_multiplier: float = 1.0
    """rate of fc6, fc7 and of the branches of a multi-scale network, over that of the trunk"""
    last_layer_multiplier: float = 10.0
    """rate of the layers that give the scores, over that of the trunk"""
    kernel_weight_multiplier: float = 10.0
    """rate of the CRF's kernel weights over that of the trunk"""
    compatibility_multiplier: float = 1.0
    """rate of the CRF's label compatibility over that of the trunk"""
    bandwidth_multiplier: float = 1.0
    """rate of the logarithms of the CRF's bandwidths over that of the trunk"""
    guide_multiplier: float = 1.0
    """rate of the learned guide over that of the trunk"""
    crf_decay: float = 0.0
    """pulls the parameters of the CRF and the learned guide towards what the stage begins with: this, times the
    difference, is added to their gradients"""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """Adam takes steps of about the rate, whatever the size of the gradient"""
    filter_multiplier: float = 1.0
    """rate of the logarithms of the side weights of the CRF's blur over that of the trunk"""
    momentum: float = 0.9
    """share of the last step in the next one; of the last gradients in Adam's mean of them"""
    weight_decay: float = 5e-4
    """on the weights of the network; biases and CRF parameters have none"""
    clip: float | None = 10.0
    """largest norm of the gradient of each group of parameters; None for no limit"""
    loss: Loss = field(default_factory=Loss)
    loss_stride: int = 8
    """the loss looks at one label in this many along each axis; 1 is full resolution"""
    normalize_loss: bool = True
    """mean over the pixels that are not void; without it their sum, as in Caffe's `normalize: false`"""
    crop: int | None = 321
    """pixels; None for whole images, which need one image per pass"""
    scale: tuple[float, float] = (1.0, 1.0)
    """range of the random factor on image and labels"""
    mirror: bool = True
    """mirror left and right with probability 1/2"""
    freeze: tuple[str, ...] = ()
    """layers of the network that keep their weights, by the beginning of their names"""
    reset: tuple[str, ...] = ()
    """layers of the network that begin with random weights although the stage begins from a checkpoint, likewise"""
    as_tested: bool = False
    """whether the network runs as at test time while it trains: without dropout, on its canvas, at --input-side"""
    trunk_memory: float = 0.0
    """gigabytes to keep what a frozen trunk makes of images, which then is computed once for each. Only images that come
    again as they were are found there: with crop None, scale 1 1 and as-tested"""
    ema: float = 0.0
    """decay of a moving average of the weights, which is then what is scored and kept; 0 for none"""
    save_every: int = 200
    """steps between two writes of last.pt"""
    keep_every: int = 0
    """steps between two checkpoints that are kept; 0 for none"""
    validate_every: int = 0
    """steps between two scorings of the validation list; 0 for the end of the stage only"""
    patience: int = 0
    """the stage stops after this many scorings in a row without a better mean IoU; 0 for never"""


@dataclass(frozen=True)
class Crf:
    """The CRF-RNN (bandwidths in pixels and gray levels; see crfrnn.CRFRNN)."""

    theta_alpha: float = 160.0
    """appearance kernel: pixels"""
    theta_beta: float = 3.0
    """appearance kernel: gray levels of 0..255"""
    theta_gamma: float = 3.0
    """smoothness kernel: pixels"""
    appearance_weight: float = 5.0
    """weight of the appearance kernel at the beginning"""
    smoothness_weight: float = 3.0
    """weight of the smoothness kernel at the beginning"""
    kernel_weights: Literal["scalar", "diagonal", "matrix"] = "diagonal"
    """one weight per kernel, one per label, or a matrix over labels"""
    learn_bandwidths: bool = False
    """whether the bandwidths are learned, too"""
    learn_filter: bool = False
    """whether the blur of the lattices is learned, too, beginning as that of a Gaussian"""
    num_iterations: int = 5
    """mean-field iterations T in training; any T can be asked for afterwards"""
    normalization: Literal["after", "before", "symmetric", "none"] = "after"
    """where the kernels are normalized; CRF-RNN divides after filtering"""
    guide_channels: int = 0
    """3 to 5: the appearance kernel looks at as many channels of a learned guide, which begins as the colors of the image;
    0: at the colors. See crfrnn.nets.guide"""
    compatibility: Literal["potts", "adjacency"] = "potts"
    """what the label compatibility starts from: Potts, or less for labels that touch in the masks of the training list"""
    solver: Literal["mean_field", "frank_wolfe"] = "mean_field"
    """mean field, or regularized Frank-Wolfe (l2, whole steps)"""
    damping: float | Literal["auto"] = 0.0
    """of mean field: the share of the old logits that stays in each iteration; auto never raises the free energy"""
    gradient: Literal["unrolled", "implicit"] = "unrolled"
    """through all iterations, or at the fixed point of mean field: then T is a limit, and has to be large (200)"""


@dataclass(frozen=True)
class Recipe:
    """A training run: a chain of stages, run in their order."""

    stages: Mapping[str, Stage]
    crf: Crf = field(default_factory=Crf)
    dense_crf: FixedCRF = field(default_factory=FixedCRF)
    """the fixed CRF that follows the network, for comparison with the CRF-RNN in the final table"""
    network: str = "deeplab-largefov"
    """a built-in network, or a function of yours that makes one, as FILE.py:FUNCTION or PACKAGE.MODULE:FUNCTION"""
    batch_norm: Literal["fixed", "batch"] = "fixed"
    """what layers of batch normalization normalize by: statistics that stay as they were before training, as the small
    batches of joint training want it, or those of the batch, from which they learn"""
    width: float = 1.0
    """number of channels of a built-in network over that of the published one"""
    dropout: float = 0.5
    """share of the activations that dropout sets to zero, in built-in networks"""
    input_scale: float = 1.0
    """the network sees images resampled by this factor, the CRF the images themselves"""
    input_side: int | None = None
    """at test time, the network sees images resampled until their longer side has this many pixels; None for their own
    size. deeplabv3-mobilenetv2 was published for 513"""
    extra_labels: int = 0
    """scores after those of the labels that count as background, for a source that tells them apart"""
    parts: Parts = field(default_factory=Parts)
    """parts of objects as labels, see crfrnn.data.parts; none by default"""
    coco_labels: Literal["voc", "coco"] = "voc"
    """labels where --data is COCO: VOC's 21, or background and COCO's own 80"""
    train_list: str = "train_aug"
    """images with masks, for stages without a mixture"""
    val_list: str = "val"
    """images to score on, while training and at the end"""
    val_images: int | None = None
    """how many images of the list to score while training, evenly spaced; None for all. The final table is over all"""
    belief_labels: tuple[str, ...] = ()
    """classes whose beliefs are pictured per iteration; without any, the three that cover most of each picture"""
    seed: int = 0
    """of first weights, order and crops of images, and dropout"""
    workers: int = 1
    """processes that read images, for each training process"""
    autocast: Literal["off", "bf16", "fp16"] = "off"
    """precision of the network; bf16 pays on processors with such matrix units. The CRF stays in float32"""
