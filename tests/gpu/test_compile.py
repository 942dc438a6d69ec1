"""Every kernel compiles ahead of time for the GPUs that people have, within what a program may use there."""

import pytest

from crfrnn import gpu

triton = pytest.importorskip(
    "triton", reason="2026-11-26: Triton is installed beside CUDA builds of torch; .ci/gpu runs this"
)
if gpu.INTERPRETED:
    pytest.skip(
        "2026-11-26: Triton compiles nothing with TRITON_INTERPRET=1; .ci/gpu runs this", allow_module_level=True
    )

from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from crfrnn.gpu import kernels  # noqa: E402

TARGETS = [GPUTarget("cuda", 80, 32), GPUTarget("cuda", 90, 32), GPUTarget("hip", "gfx942", 64)]
SHARED_MEMORY = 48 * 1024  # bytes that every one of them has for a program

BLOCK = {"BLOCK": 16, "COLUMNS": 32}
COUNTS = {"count": "i32", "columns": "i32"}
# The types of all arguments but for the constants, of which each case has its own; R stands for the type of numbers.
CASES = {
    "sum_rows": ({"index": "*i32", "weights": "*R", "rows": "*R", "out": "*R", **COUNTS}, {"WIDTH": 9, **BLOCK}),
    "sum_bags": (
        {
            "begin": "*i32", "members": "*i32", "weights": "*R", "rows": "*R", "out": "*R", "bags": "i32", "pairs": "i32",
            "columns": "i32",
        },
        {"LISTED": True, **BLOCK},
    ),
    "blur_axis": ({"neighbors": "*i32", "vertices": "*R", "out": "*R", **COUNTS}, BLOCK),
    "update": (
        {
            "index": "*i32", "weights": "*R", "vertices": "*R", "unary": "*R", "logits": "*R", "beliefs": "*R",
            "count": "i32", "labels": "i32",
        },
        {"LAST": False, "WIDTH": 9, **BLOCK},
    ),
}  # fmt: skip


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: str(target.arch))
@pytest.mark.parametrize("real", ["fp32", "fp64"])
@pytest.mark.parametrize("name", CASES)
def test_compiles(name: str, real: str, target: GPUTarget) -> None:
    types, constants = CASES[name]
    signature = {argument: kind.replace("R", real) for argument, kind in types.items()}
    signature |= dict.fromkeys(constants, "constexpr")
    source = ASTSource(
        getattr(kernels, name), signature, {(i,): constants[n] for i, n in enumerate(signature) if n in constants}
    )
    compiled = triton.compile(source, target=target)
    assert compiled.asm["cubin" if target.backend == "cuda" else "hsaco"]
    assert compiled.metadata.shared <= SHARED_MEMORY


def test_all_kernels_are_here() -> None:
    found = {name for name, value in vars(kernels).items() if isinstance(value, triton.runtime.jit.JITFunction)}
    assert found == set(CASES)
