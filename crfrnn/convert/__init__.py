"""Parameters of other dense CRFs as a `CRFRNN`, and back: pydensecrf, CRF-RNN (Caffe, Keras, PyTorch) and
ConvCRF; and of SimpleCRF and MONAI's CRF as a `CRFRNN`.

What makes beliefs equal is this. A penalty C [L, L] acts as P_i = C m_i on the message m_i. Softmax ignores what is added
to all labels of a pixel, so C and C + 1 v^T are the same model for any vector v: what 1 v^T adds, sum_l v(l) m_i(l), is the
same for all labels. Potts as a reward, -w I, and as a penalty, w (1 - I), differ by w 1 1^T and are thus equal under any
normalization; so are CRF-RNN's -I and this project's 1 - I.

The functions raise ValueError, and say why, for a model that has no counterpart. Bandwidths are in pixels and in gray levels
of 0..255 (see `gray_levels`). All of these models keep the message of a pixel to itself.
"""

from crfrnn.convert.convcrf import from_convcrf, gray_levels, to_convcrf
from crfrnn.convert.crfasrnn import Convention, from_crfasrnn, penalty_matrix, to_crfasrnn
from crfrnn.convert.pydensecrf import PairwiseTerm, from_pydensecrf, to_pydensecrf
from crfrnn.convert.volumes import from_monai, from_simplecrf

__all__ = [
    "Convention",
    "PairwiseTerm",
    "from_convcrf",
    "from_crfasrnn",
    "from_monai",
    "from_pydensecrf",
    "from_simplecrf",
    "gray_levels",
    "penalty_matrix",
    "to_convcrf",
    "to_crfasrnn",
    "to_pydensecrf",
]
