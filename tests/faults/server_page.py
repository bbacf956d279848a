"""What a server says of itself on /metrics, and what it holds of the machine."""

import urllib.request
from dataclasses import dataclass

import psutil
from prometheus_client.parser import text_string_to_metric_families

from stepwell.base.metric_spec import MetricSpec


def metric_value(metrics_port: int, spec: MetricSpec, **labels: str) -> float:
    """Returns the sum of a metric's series that have these labels; 0 without any.

    Several worker processes show their series side by side: the sum is theirs together.
    """
    url = f"http://127.0.0.1:{metrics_port}/metrics"
    with urllib.request.urlopen(url, timeout=10) as page:
        text = page.read().decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == spec.name and labels.items() <= sample.labels.items()
    )


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a process holds now."""

    num_threads: int
    num_descriptors: int

    @classmethod
    def of(cls, pid: int) -> "Footprint":
        """Looks at a process and all its children."""
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        return cls(
            num_threads=sum(one.num_threads() for one in family),
            num_descriptors=sum(one.num_fds() for one in family),
        )
