"""What is promised: each row of the table of targets, with its limit and the stretch beyond it."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Target:
    """One ratio. ``more_is_better``: it must be at least the limit. ``as_part``: it reads best as 1/n."""

    name: str
    what: str
    limit: float
    stretch: float | None
    more_is_better: bool = False
    as_part: bool = False

    def show(self, value: float | None) -> str:
        """Return a ratio as the table prints it."""
        if value is None:
            return "-"
        if self.as_part and value > 0:
            return f"1/{1 / value:.0f}"
        return f"{value:.3f}".rstrip("0").rstrip(".") if value >= 0.01 else f"{value:.2g}"

    def verdict(self, value: float) -> str:
        """Return in words how a measured ratio stands to what is promised."""
        if self.stretch is not None and self._reaches(value, self.stretch):
            return "reaches the stretch"
        return "within the limit" if self._reaches(value, self.limit) else "misses the limit"

    def _reaches(self, value: float, goal: float) -> bool:
        return value >= goal if self.more_is_better else value <= goal


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured of one target: the ratio with its parts, or why there is none."""

    name: str
    ratio: float | None
    parts: dict[str, float] = field(default_factory=dict)
    skipped: str = ""


TARGETS = {
    target.name: target
    for target in (
        Target("json", "client CPU per account ÷ json.loads of its body", 1.5, 1.1),
        Target("plain", "client CPU per account ÷ the plain way", 1 / 60, 1 / 80, as_part=True),
        Target("execute_values", "server CPU per account ÷ execute_values, unchanged", 0.2, 0.1),
        Target("latency_8", "wall at latency ÷ its bound, concurrency 8", 1.05, 1.03),
        Target("latency_32", "wall at latency ÷ its bound, concurrency 32", 1.10, 1.06),
        Target("latency_64", "wall at latency ÷ its bound, concurrency 64", 1.30, 1.15),
        Target("memory", "peak memory, many accounts ÷ few", 1.15, 1.10),
        Target("large_several", "memory, 8 first collections of 100,000 rows ÷ small", 2.7, 2.0),
        Target("large_one", "memory, one of 1,000,000 rows ÷ small", 4.1, 2.5),
        Target("wal_unchanged", "WAL of an unchanged run ÷ first load", 0.01, 0.001),
        Target("wal_changed", "WAL with 2 of 30 days changed ÷ first load", 0.20, 0.14),
        Target("history", "CPU of a run with much history ÷ without", 1.10, 1.03),
        Target("growth", "CPU per account, many accounts ÷ some", 1.05, 1.02),
        Target("help", "CPU of costbatch --help ÷ bare Python", 7.0, 5.0),
        Target("sharing", "two processes on one run: times faster than one", 1.9, 1.97, more_is_better=True),
        Target("dlt", "rows per CPU second ÷ dlt merge", 8.0, 12.0, more_is_better=True),
        Target("discovery_wal", "WAL of an unchanged discovery ÷ first", 0.01, 0.005),
        Target("discovery_memory", "memory of discovery, all accounts ÷ a quarter", 1.15, 1.10),
    )
}
