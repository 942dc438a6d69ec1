"""The names of what TensorBoard shows. It sorts them; the numbers put first what one looks at first.

Units stand in square brackets: the charts of custom scalars draw no curve whose name has round ones.
"""

import re

LOSS = "1 loss"
MEAN_IOU = "2 mean IoU [percent]"
SHEETS = "3 beliefs over iterations"
WEIGHTS = "4 kernel weights, mean over labels"
BANDWIDTHS = "5 bandwidths"
COMPATIBILITY = "6 compatibility"
SECONDS = "7 seconds per validated image"
CONFUSION = "8 confusion matrix [percent of the true pixels]"
FINAL = "final mean IoU [percent]"

NETWORK, CRF_RNN = "network alone", "CRF-RNN"
TRAINING = f"{LOSS}/training"
DISTANCE = f"{COMPATIBILITY}/distance from its start in the stage [Frobenius norm]"

LAYOUT = {
    "training": {
        title: ["Multiline", [pattern]]
        for title, pattern in {
            "loss": f"{re.escape(LOSS)}/.*",
            "mean IoU of the network alone and of the CRF-RNN (percent)": f"{re.escape(MEAN_IOU)}/.*",
            "kernel weights, mean over labels": f"{re.escape(WEIGHTS)}/.*",
            "bandwidths (pixels, gray levels)": f"{re.escape(BANDWIDTHS)}/.*",
            "distance of the compatibility from its start in the stage": re.escape(DISTANCE),
            "seconds per validated image, of network and CRF": f"{re.escape(SECONDS)}/.*",
        }.items()
    }
}
"""Categories of custom scalars, their charts, and the curves in each as regular expressions."""
