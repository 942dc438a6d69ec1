"""Published parameters of fixed dense CRFs, as `FixedCRF`s.

DeepLab's are cross-validated, each for one network, and belong to normalization after filtering (Chen et al. 2015, released
settings by model); those of Kraehenbuehl & Koltun 2011 are the defaults of their code, version 1 and version 2 (which
pydensecrf wraps); those of CRF-RNN are what its training begins with (Zheng et al. 2015).
"""

from eval.methods import FixedCRF

PUBLISHED: dict[str, FixedCRF] = {
    "Kraehenbuehl & Koltun, code version 1": FixedCRF(10, 60, 20),
    "Kraehenbuehl & Koltun, code version 2": FixedCRF(10, 80, 13, num_iterations=5, normalization="symmetric"),
    "DeepLab": FixedCRF(5, 50, 10),
    "DeepLab-MSc": FixedCRF(3, 95, 3),
    "DeepLab-COCO": FixedCRF(5, 67, 3),
    "DeepLab-LargeFOV": FixedCRF(4, 121, 5),
    "DeepLab, default of the run script": FixedCRF(4, 49, 5),
    "CRF-RNN, initial": FixedCRF(5, 160, 3),
}
