"""The definitions of the E-steps, pixel by pixel in plain Python, for one image: scores as nested lists [L][N].

EM-Adapt is in exact fractions: it makes labels tie, and rounding would decide who wins.
"""

import math
from collections.abc import Callable
from fractions import Fraction


def em_fixed(f: list[list[float]], present: list[set[int]], fg: float, bg: float) -> list[int]:
    """`present` by pixel. f'(l) = f(l) + b_l for the labels present, background always; the argmax."""
    labels, result = range(len(f)), []
    for i in range(len(f[0])):
        biased = [f[c][i] + (bg if c == 0 else fg if c in present[i] else 0.0) for c in labels]
        result.append(max(labels, key=lambda c: (biased[c], -c)))
    return result


def adapt(
    scores: list[list[float]],
    present: set[int],
    fg: float,
    bg: float,
    orders: list[list[int]],
    after_turn: Callable[[int, list[list[Fraction]], list[Fraction]], None] = lambda label, f, top: None,
) -> list[list[Fraction]]:
    """ADAPTIVE_BIAS_CHANNEL, steps 1 to 5; `orders` are the foreground labels in the order of their turns."""
    f = [list(map(Fraction, row)) for row in scores]
    if not present:
        return f
    pixels = range(len(f[0]))
    weakest = [min(f[c][i] for c in present) for i in pixels]
    for c in set(range(len(f))) - present:
        for i in pixels:
            if f[c][i] > weakest[i]:
                f[c][i] = weakest[i] - Fraction(1, 100_000)
    top = [max(f[c][i] for c in present) for i in pixels]
    before = sum(top) / len(top)
    for order in orders:
        for label in ([0] if 0 in present else []) + [c for c in order if c in present and c != 0]:
            portion = bg if label == 0 else fg
            gaps = sorted(top[i] - f[label][i] for i in pixels)
            bias = gaps[math.floor(portion * len(gaps))]
            f[label] = [value + bias for value in f[label]]
            top = [max(top[i], f[label][i]) for i in pixels]
            after_turn(label, f, top)
    shift = before - sum(top) / len(top)
    return [[value + shift for value in row] for row in f]


def argmax(f: list[list[Fraction]]) -> list[int]:
    return [max(range(len(f)), key=lambda c: (f[c][i], -c)) for i in range(len(f[0]))]


def mil_loss(f: list[list[float]], present: set[int]) -> float:
    """Minus the sum over present labels of the logarithm of their largest probability."""
    pixels = range(len(f[0]))

    def probability(label: int, i: int) -> float:
        return math.exp(f[label][i]) / sum(math.exp(row[i]) for row in f)

    return -sum(math.log(max(probability(c, i) for i in pixels)) for c in present)
