"""What people read of a sweep: live progress, tables, the run directory's views. Needs no JAX."""

from bench.report.live import Progress, final
from bench.report.views import write_views

__all__ = ["Progress", "final", "write_views"]
