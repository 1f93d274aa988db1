"""The table of figures as Prometheus metric families, for `/metrics`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from sidecar.observe.figure import Figure, Histogram, Sources
from sidecar.observe.figures import FIGURES


class FiguresCollector(Collector):
    """Reads every figure at each scrape. A figure that is not available is omitted, not zero."""

    def __init__(self, sources: Sources, figures: Iterable[Figure] = FIGURES) -> None:
        """Read `figures` from `sources`."""
        self._sources = sources
        self._figures = tuple(figures)

    def collect(self) -> Iterator[Metric]:
        """Yield one family for each figure."""
        for figure in self._figures:
            values = list(figure.read(self._sources))
            if values or figure.labels:
                yield _family(figure, values)


def documentation(figure: Figure) -> str:
    """The text after `# HELP`; of a figure that means loss it ends with "Loss", and the labels that mean none."""
    if not figure.loss:
        return figure.help
    return f"{figure.help} Loss{', except ' if figure.no_loss else ''}{', '.join(figure.no_loss)}."


def _family(figure: Figure, values: Iterable[tuple[tuple[str, ...], float | Histogram]]) -> Metric:
    help_, labels = documentation(figure), figure.labels
    family: CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
    if figure.kind == "counter":
        family = CounterMetricFamily(figure.name, help_, labels=labels, unit=figure.unit)
    elif figure.kind == "gauge":
        family = GaugeMetricFamily(figure.name, help_, labels=labels, unit=figure.unit)
    else:
        family = HistogramMetricFamily(figure.name, help_, labels=labels, unit=figure.unit)
    for label_values, value in values:
        if isinstance(family, HistogramMetricFamily):
            assert isinstance(value, Histogram)  # noqa: S101  # the table's kind says so
            family.add_metric(label_values, value.buckets, value.sum)
        else:
            assert not isinstance(value, Histogram)  # noqa: S101  # the table's kind says so
            family.add_metric(label_values, value)
    return family
