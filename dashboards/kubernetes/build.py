#!/usr/bin/env python3
"""Writes the manifests that hold files of the other folders.

    dashboards/kubernetes/build.py            writes dashboards.yml and prometheusrule.yml
    dashboards/kubernetes/build.py --check    fails when one is not what would be written

Nothing but Python's standard library is needed.
"""

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
NOTE = "# Made by build.py, beside it.\n\n"
LABELS = "  labels:\n    app.kubernetes.io/name: vitalsign\n"


def indented(text, width):
    return "".join(f"{' ' * width}{line}\n" if line else "\n" for line in text.splitlines())


def dashboards():
    """A ConfigMap a dashboard, with the label that Grafana's sidecar looks for."""
    manifests = []
    for file in sorted((HERE.parent / "grafana").glob("*.json")):
        # On few lines: `kubectl apply` keeps a second copy of an object in an annotation.
        text = json.dumps(json.loads(file.read_text(encoding="utf-8")), ensure_ascii=False)
        manifests.append(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n"
            f"  name: vitalsign-dashboard-{file.stem}\n{LABELS}"
            '    grafana_dashboard: "1"\n  annotations:\n    grafana_folder: vitalsign\n'
            f"data:\n  vitalsign-{file.name}: |\n{indented(text, 4)}"
        )
    return NOTE + "---\n".join(manifests)


def rules(files):
    """The rules of Prometheus as an object of its operator."""
    groups = ""
    for file in files:
        lines = file.read_text(encoding="utf-8").splitlines()
        start = lines.index("groups:") + 1
        groups += indented("\n".join(lines[start:]), 2)
    return (
        f"{NOTE}apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n"
        f"  name: vitalsign\n{LABELS}spec:\n  groups:\n{groups}"
    )


def main():
    files = [HERE.parent / "prometheus" / name for name in ("recording.yml", "alerts.yml")]
    made = {"dashboards.yml": dashboards(), "prometheusrule.yml": rules(files)}
    stale = []
    for name, text in made.items():
        file = HERE / name
        if sys.argv[1:] != ["--check"]:
            file.write_text(text, encoding="utf-8")
        elif not file.exists() or file.read_text(encoding="utf-8") != text:
            stale.append(name)
    if stale:
        sys.exit(f"not what {Path(__file__).name} writes: {', '.join(stale)}; run it")


if __name__ == "__main__":
    main()
