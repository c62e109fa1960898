"""Every metric that the program pushes."""

from costbatch.domain.collect_report import COLLECT_METRICS
from costbatch.domain.discover_report import DISCOVER_METRICS
from costbatch.domain.metrics import RUN_METRICS

# What a run of the cost job pushes.
OF_COLLECT = (*RUN_METRICS, *COLLECT_METRICS)
METRICS = (*RUN_METRICS, *COLLECT_METRICS, *DISCOVER_METRICS)
