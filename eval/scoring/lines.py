"""How curves are drawn, so that each can be told from the others, those that it coincides with included."""

from typing import Any

NETWORK_ALONE: dict[str, Any] = {"color": "0.35", "linestyle": "--", "linewidth": 1.2, "label": "network alone"}
"""A line that a network without a CRF has in every figure."""

MARKERS = "osD^vPX*"


def curve_style(index: int, count: int) -> dict[str, Any]:
    """Line width and marker of curve `index` of `count`: later curves are thinner, so that earlier ones stay visible below.

    Draw the curves in order.
    """
    layer = (count - 1 - index) % 4
    return {"linewidth": 1.2 + 1.6 * layer, "marker": MARKERS[index % len(MARKERS)], "markersize": 3.5 + 2 * layer}
