"""What `clapgen evaluate` measures, and the report that says how."""

from clapgen.report.model import Confusion, Metric, Report, Skipped

__all__ = ["Confusion", "Metric", "Report", "Skipped"]
