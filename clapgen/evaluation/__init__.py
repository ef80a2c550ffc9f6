"""What `clapgen evaluate` measures, and the report that says how."""

from clapgen.report.model import Confusion, Figure, Report, Skipped

__all__ = ["Confusion", "Figure", "Report", "Skipped"]
