"""The parameters of a CRF in a JSON file, whether they were searched, learned or published.

`settings` are the arguments that build the layer; a file of fixed parameters can be read without this module:

    crf = CRFRNN.from_settings(json.load(open("crf.json"))["settings"])

`learned` holds the entries of the state dict that differ from those of the layer built from the settings.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from crfrnn import CRFRNN
from crfrnn._files import read_json, replacing

UNFIT = (LookupError, AttributeError, TypeError, ValueError, RuntimeError, ArithmeticError, MemoryError)
"""what JSON of another make raises where it is taken for settings and parameters"""


def write_crf(path: Path, crf: CRFRNN, facts: Mapping[str, Any]) -> None:
    """Write the `facts` of how the parameters of `crf` were found, followed by the parameters."""
    initial = CRFRNN.from_settings(crf.settings()).state_dict()
    learned = {
        name: value.tolist() for name, value in crf.state_dict().items() if not torch.equal(value.cpu(), initial[name])
    }
    text = json.dumps({**facts, "settings": crf.settings(), "learned": learned}, indent=2, allow_nan=False)
    text = re.sub(r"\[[^][{}]*\]", lambda row: re.sub(r"\s+", " ", row[0]), text)  # innermost lists on one line
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")


def read_crf(path: Path) -> CRFRNN:
    """The layer in a file of `write_crf`, without gradients. Raises OSError, or ValueError where the file holds no layer."""
    content = read_json(path)
    try:
        settings, learned = content["settings"], content["learned"]
        json.dumps([settings, learned], allow_nan=False)  # raises for numbers that are not finite
        crf = CRFRNN.from_settings(settings)
        found = {name: torch.tensor(value) for name, value in learned.items()}
        crf.load_state_dict({**crf.state_dict(), **found})
    except UNFIT as error:
        raise ValueError(
            f"{path} does not hold the parameters of a CRF ({type(error).__name__}: {error}); "
            "wanted a crf.json of eval.tuning.search or eval.tuning.learn"
        ) from error
    return crf.requires_grad_(False)
