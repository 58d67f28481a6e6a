"""Numbers of many runs made one: medians with quartiles, ratios of pairs, tables."""

import dataclasses
import statistics


@dataclasses.dataclass
class Spread:
    """A median and its quartiles."""

    low: float
    median: float
    high: float

    def show(self, digits=1):
        return f"{self.median:.{digits}f} [{self.low:.{digits}f}–{self.high:.{digits}f}]"


def spread(values):
    values = list(values)
    if not values:
        return None
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(low, median, high)


def ratios(ours, theirs):
    """Of runs made side by side: each pair saw the same machine, so the pair is what is divided."""
    return spread(a / b for a, b in zip(ours, theirs))


def table(rows):
    """Markdown with columns as wide as their longest cell; the first row is the head."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |"
             for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


@dataclasses.dataclass
class Target:
    """A figure that is promised, and what was measured of it (None: not measured)."""

    what: str
    limit: float
    unit: str
    measured: Spread = None

    def row(self, digits=2):
        if self.measured is None:
            return [self.what, f"≤ {self.limit:g} {self.unit}".strip(), "–", "not measured"]
        verdict = "met" if self.measured.median <= self.limit else "NOT MET"
        return [self.what, f"≤ {self.limit:g} {self.unit}".strip(), self.measured.show(digits),
                verdict]
