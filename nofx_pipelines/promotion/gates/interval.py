"""Whether the whole interval of a metric lies above a threshold."""

from __future__ import annotations

from nofx_pipelines.evaluation.evaluate import MetricValue
from nofx_pipelines.promotion.gates.gate import Finding


def interval_above(metric: MetricValue, threshold: float, label: str, confidence: float) -> Finding:
    """Pass where the interval's lower end exceeds ``threshold``; the number is that end.

    Parameters
    ----------
    metric
        A mean with its interval.
    threshold
        In the metric's own unit.
    label
        What the sentence calls the metric.
    confidence
        Of the interval, for the sentence.

    Examples
    --------
    >>> interval_above(MetricValue(0.05, 0.03, 0.07, 100), 0.0, "rank IC", 0.95).reason
    'rank IC is +0.0500, 95% interval [+0.0300, +0.0700] over 100 sessions lies above 0'
    """
    if metric.value is None or metric.lo is None or metric.hi is None:
        known = "is unknown" if metric.value is None else f"is {metric.value:+.4f} but has no interval"
        return Finding(
            None, threshold, False, f"{label} {known}: {metric.n} sessions are too few or constant"
        )
    passed = metric.lo > threshold
    verb = "lies above" if passed else "does not lie above"
    reason = (
        f"{label} is {metric.value:+.4f}, {confidence:.0%} interval [{metric.lo:+.4f}, {metric.hi:+.4f}] "
        f"over {metric.n} sessions {verb} {threshold:g}"
    )
    return Finding(metric.lo, threshold, passed, reason)
