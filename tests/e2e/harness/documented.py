"""What docs/metrics.md says there is, for queries that are to ask for nothing else."""

import re

from harness import processes

ROW = re.compile(r"^\| `(sse_\w+)` \| (\w+) \| (.*) \|$", re.MULTILINE)
SELECTOR = re.compile(r"\b(sse_[a-z_]+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
# What Prometheus adds, and what a dashboard puts in.
EVERYWHERE = {"job", "instance", "route", "le"}


def metrics():
    """Name to what the page says of it. A histogram has the names of its series."""
    page = (processes.ROOT / "docs" / "metrics.md").read_text()
    found = {}
    for name, kind, text in ROW.findall(page):
        for ending in ["_bucket", "_sum", "_count"] if kind == "histogram" else [""]:
            found[name + ending] = text
    return found


def mistakes(query):
    """Metrics, labels and values of labels that the page does not have."""
    known, wrong = metrics(), []
    for name, matchers in SELECTOR.findall(query):
        if name not in known:
            wrong.append(name)
            continue
        for label, _, value in MATCHER.findall(matchers):
            if label in EVERYWHERE:
                continue
            if f"`{label}`" not in known[name]:
                wrong.append(f"{name}: {label}")
            wrong += [f"{name}: {label}={word}" for word in value.split("|") if f"`{word}`" not in known[name]]
    return wrong
