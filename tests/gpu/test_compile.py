"""Every kernel compiles ahead of time for the GPUs that people have, within what a program may use there."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from crfrnn import gpu

triton = pytest.importorskip(
    "triton", reason="2026-11-26: Triton is installed beside CUDA builds of torch; .ci/gpu runs this"
)
if gpu.INTERPRETED:
    pytest.skip(
        "2026-11-26: Triton compiles nothing with TRITON_INTERPRET=1; .ci/gpu runs this", allow_module_level=True
    )

from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource, make_backend  # noqa: E402
from triton.runtime.jit import create_function_from_signature  # noqa: E402

from crfrnn.gpu import attention, embed, kernels, launch  # noqa: E402
from crfrnn.lattice.embed import elevation_scales  # noqa: E402

TARGETS = [GPUTarget("cuda", 80, 32), GPUTarget("cuda", 90, 32), GPUTarget("hip", "gfx942", 64)]
SHARED_MEMORY = 48 * 1024  # bytes that every one of them has for a program

NEVER = {("filter_exactly", "fp64"), ("pull_features", "fp64")}  # plain torch computes in float64

BLOCK = {"CHANNELS": 24, "BLOCK": 8, "COLUMNS": 32}
LABELS = {"LABELS": 24, "BLOCK": 8, "COLUMNS": 32}
TILE = {"ROWS": attention.ROWS, "COLUMNS": attention.COLUMNS}
SLOPES = {"ROWS": attention.SLOPE_ROWS, "COLUMNS": attention.SLOPE_COLUMNS}
GATHER = ("sum_rows", "pair_products", "sum_bags", "update", "update_backward")
WARPS = {
    "filter_exactly": attention.WARPS,
    "pull_features": attention.SLOPE_WARPS,
    **dict.fromkeys(GATHER, launch.GATHERING),
}
TYPES = {"*i32": torch.int32, "*i64": torch.int64, "*u8": torch.uint8}
NUMBERS_OF_ROWS = ("count", "bags", "pairs", "points")
COUNTS = {"count": "i32"}
# The types of all arguments but for the constants, of which each case has its own; R stands for the type of numbers.
CASES = {
    "sum_rows": ({"index": "*i32", "weights": "*R", "rows": "*R", "out": "*R", **COUNTS}, {"WIDTH": 9, **BLOCK}),
    "pair_products": (
        {"index": "*i32", "rows": "*R", "values": "*R", "out": "*R", **COUNTS},
        {"ADD": True, "WIDTH": 9, **BLOCK},
    ),
    "sum_bags": (
        {
            "begin": "*i32", "members": "*i32", "weights": "*R", "rows": "*R", "out": "*R", "bags": "i32", "pairs": "i32",
        },
        {"LISTED": True, **BLOCK},
    ),
    "blur_axis": ({"neighbors": "*i32", "vertices": "*R", "out": "*R", **COUNTS}, {**BLOCK, "BLOCK": 16}),
    "blur_and_multiply": (
        {
            "neighbors": "*i32", "vertices": "*R", "stops": "*i32", "matrices": "*R", "out": "*R", "count": "i32",
        },
        {"KERNELS": 3, "LABELS": 24, "BLOCK": 32, "COLUMNS": 32},
    ),
    "update": (
        {
            "index": "*i32", "weights": "*R", "vertices": "*R", "unary": "*R", "logits": "*R", "beliefs": "*R",
            "count": "i32",
        },
        {"LAST": False, "WIDTH": 9, **LABELS},
    ),
    "update_backward": (
        {
            "index": "*i32", "weights": "*R", "vertices": "*R", "beliefs": "*R", "negated": "*R", "total": "*R",
            "to_weights": "*R", "count": "i32",
        },
        {"LEARNED": True, "WIDTH": 9, **LABELS},
    ),
    "enclose": (
        {"features": "*R", "corner": "*R", "axes": "*u8", "weights": "*R", "count": "i32"},
        {"SCALES": tuple(elevation_scales(5, torch.float32)), "LAST": 5, "COLUMNS": 8},
    ),
    "pack_keys": (
        {
            "corner": "*R", "axes": "*u8", "strides": "*i64", "keys": "*i32", "count": "i32", "points": "i32",
            "origin": "i64",
        },
        {"LAST": 5, "BLOCK": embed.POINTS},
    ),
    "filter_exactly": (
        {"features": "*R", "values": "*R", "out": "*R", "points": "i32", "channels": "i32"},
        {"EXCLUDE_SELF": True, "DIMENSIONS": 5, "CHANNELS": attention.MOST_CHANNELS, **TILE},
    ),
    "pull_features": (
        {"features": "*R", "left": "*R", "right": "*R", "out": "*R", "points": "i32", "channels": "i32"},
        {"EXCLUDE_SELF": True, "DIMENSIONS": 5, "PADDED": 8, "CHANNELS": attention.FEWEST_CHANNELS, **SLOPES},
    ),
}  # fmt: skip

KERNELS = {
    name: value
    for module in (kernels, attention, embed)
    for name, value in vars(module).items()
    if isinstance(value, triton.runtime.jit.JITFunction) and not name.startswith("_")
}


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: str(target.arch))
@pytest.mark.parametrize(
    ("name", "real"), [(name, real) for name in CASES for real in ("fp32", "fp64") if (name, real) not in NEVER]
)
def test_compiles(name: str, real: str, target: GPUTarget, tmp_path: Path) -> None:
    types, constants = CASES[name]
    if name == "enclose":
        constants = {**constants, "BLOCK": embed.points_together(8, real == "fp64")}
    given = {argument: kind.replace("R", real) for argument, kind in types.items()} | dict.fromkeys(
        constants, "constexpr"
    )
    signature = {argument: given[argument] for argument in KERNELS[name].arg_names}
    source = ASTSource(
        KERNELS[name], signature, {(i,): constants[n] for i, n in enumerate(signature) if n in constants}
    )
    compiled = triton.compile(source, target=target, options={"num_warps": WARPS.get(name, 4)})
    assert compiled.metadata.shared <= SHARED_MEMORY
    assert spilled(compiled, target, tmp_path) == {0}


def spilled(compiled: Any, target: GPUTarget, folder: Path) -> set[int]:
    """Counts and sizes of the registers that a program keeps in memory."""
    if target.backend == "hip":
        found = re.findall(r"\.[sv]gpr_spill_count:\s*(\d+)", compiled.asm["amdgcn"])
    else:
        binary = folder / "kernel.cubin"
        binary.write_bytes(compiled.asm["cubin"])
        tool = triton.knobs.nvidia.cuobjdump.path
        listed = subprocess.run([tool, "-res-usage", binary], capture_output=True, text=True, check=True).stdout
        found = re.findall(r"STACK:(\d+)", listed)
    return {int(count) for count in found}


@pytest.mark.parametrize("name", CASES)
def test_another_number_of_rows_compiles_nothing(name: str) -> None:
    """Triton compiles anew for an integer of 1, or a multiple of 16, and for pointers that are aligned or not."""
    kernel, (types, constants) = KERNELS[name], CASES[name]
    bind = create_function_from_signature(kernel.signature, kernel.params, make_backend(TARGETS[0]))

    def variant(rows: int) -> list[Any]:
        found = {"neighbors": torch.empty(2, rows, 3, dtype=torch.int32)[1]}
        for argument, kind in types.items():
            tensor = torch.empty(64, dtype=TYPES.get(kind, torch.float32))
            found.setdefault(argument, tensor if kind.startswith("*") else rows if argument in NUMBERS_OF_ROWS else 21)
        _, specialization, _ = bind(*(found[argument] for argument in types), **{"BLOCK": 8, **constants})
        return specialization

    assert variant(1) == variant(16) == variant(33)


def test_all_kernels_are_here() -> None:
    assert set(KERNELS) == set(CASES)
