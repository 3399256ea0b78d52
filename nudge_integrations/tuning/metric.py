"""Which metrics there are, and which method's vectors rank rightly under which."""

from __future__ import annotations

from nudge_integrations.errors import DataError, MetricMismatchError


def check_metric(method: str, metric: str) -> None:
    """Refuse a metric that does not exist, or under which the method's vectors rank wrongly.

    Raises:
        DataError: `metric` is neither `"cosine"` nor `"dot"`.
        MetricMismatchError: NUDGE-M with another metric than `"dot"`.
    """
    if metric not in ("cosine", "dot"):
        hint = f": for the metric to be raised, pass validation_metric={metric!r}"
        raise DataError(
            f"metric must be 'cosine' or 'dot' (the inner product), got {metric!r}"
            f"{hint if '@' in str(metric) else ''}"
        )
    if method == "nudge-m" and metric != "dot":
        raise MetricMismatchError(
            f"NUDGE-M's vectors are not of unit length, so under metric={metric!r} they rank "
            "wrongly: use metric='dot' (and a store that ranks by inner product), or method='n'"
        )
