"""The evaluations of `clapgen evaluate`, each a function that returns a report."""

from clapgen.report.model import Confusion, Metric, Report, Skipped

__all__ = ["Confusion", "Metric", "Report", "Skipped"]
