"""Counters for Prometheus, in its text format."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)


class Metrics:
    """Requests by route and status, and how long requests and jobs took."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._jobs: Counter[tuple[str, str]] = Counter()
        self._seconds: dict[tuple[str, str], Histogram] = {}

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        with self._lock:
            self._requests[method, route, status] += 1
            self._histogram("clapgen_request_seconds", route).add(seconds)

    def job(self, what: str, state: str, seconds: float) -> None:
        """Count a job that is over."""
        with self._lock:
            self._jobs[what, state] += 1
            self._histogram("clapgen_job_seconds", what).add(seconds)

    def text(self, gauges: Iterable[tuple[str, str, float]]) -> str:
        """Everything, and gauges of (name, what it is, value)."""
        with self._lock:
            lines = _heading("clapgen_requests_total", "counter", "Requests that were answered.")
            for (method, route, status), number in sorted(self._requests.items()):
                lines.append(f'clapgen_requests_total{{method="{method}",route="{route}",status="{status}"}} {number}')
            lines += _heading("clapgen_jobs_total", "counter", "Jobs that are over.")
            for (what, state), number in sorted(self._jobs.items()):
                lines.append(f'clapgen_jobs_total{{kind="{what}",state="{state}"}} {number}')
            for name, label in (("clapgen_request_seconds", "route"), ("clapgen_job_seconds", "kind")):
                lines += _heading(name, "histogram", "Time until it was over.")
                for (of, which), histogram in sorted(self._seconds.items()):
                    lines += histogram.lines(name, f'{label}="{which}"') if of == name else []
        for name, help_text, value in gauges:
            lines += [*_heading(name, "gauge", help_text), f"{name} {value:g}"]
        return "\n".join(lines) + "\n"

    def _histogram(self, name: str, label: str) -> Histogram:
        return self._seconds.setdefault((name, label), Histogram())


class Histogram:
    """How many values are below each bound."""

    def __init__(self) -> None:
        self._counts, self._sum, self._number = [0] * len(BUCKETS), 0.0, 0

    def add(self, value: float) -> None:
        """Count a value."""
        self._number, self._sum = self._number + 1, self._sum + value
        for index, bound in enumerate(BUCKETS):
            self._counts[index] += value <= bound

    def lines(self, name: str, label: str) -> list[str]:
        """In Prometheus' format."""
        counts = [*zip(map(str, BUCKETS), self._counts, strict=True), ("+Inf", self._number)]
        buckets = [f'{name}_bucket{{{label},le="{bound}"}} {count}' for bound, count in counts]
        return [*buckets, f"{name}_sum{{{label}}} {self._sum:.6f}", f"{name}_count{{{label}}} {self._number}"]


def _heading(name: str, kind: str, help_text: str) -> list[str]:
    return [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]
