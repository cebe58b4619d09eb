"""What no program checks of the stack's files: that they fit each other.

    structure.py ROOT      says what does not fit, and then fails
"""

import sys
from pathlib import Path

import yaml

ROOT = Path(sys.argv[1])
wrong = []


def load(name):
    return list(yaml.safe_load_all((ROOT / name).read_text(encoding="utf-8")))


def expect(condition, what):
    if not condition:
        wrong.append(what)


def compose():
    file = load("docker-compose.yml")[0]
    services = file["services"]
    wanted = {"vitalsign", "postgres", "redis", "prometheus", "alertmanager", "grafana", "tempo"}
    expect(set(services) == wanted, f"services are {sorted(services)}")
    for name, service in services.items():
        _, _, tag = service["image"].rpartition(":")
        expect(tag not in ("", "latest", service["image"]), f"{name}: no version is pinned")
        for port in service.get("ports", []):
            expect(port.startswith("127.0.0.1:"), f"{name}: {port} is published beyond loopback")
        expect("healthcheck" in service or name == "tempo", f"{name}: no health check")
        expect("no-new-privileges:true" in service["security_opt"], f"{name}: may gain privileges")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            there = (ROOT / source).exists() if source.startswith(".") else source in file["volumes"]
            expect(there, f"{name}: there is no {source}")
    own = services["vitalsign"]
    expect(own["read_only"] is True and own["cap_drop"] == ["ALL"], "vitalsign: may do too much")
    expect("probe" in own["healthcheck"]["test"], "vitalsign: is not asked by its own probe")
    for secret in file["secrets"].values():
        expect((ROOT / secret["file"]).is_file(), f"there is no {secret['file']}")
    return services


def data_sources(services):
    sources = load("dashboards/grafana/provisioning/datasources/datasources.yml")[0]["datasources"]
    by_uid = {source["uid"]: source for source in sources}
    for source in sources:
        host = source["url"].split("/")[2].split(":")[0]
        expect(host in services, f"data source {source['name']}: there is no {host}")
    exemplars = by_uid["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    expect([e["name"] for e in exemplars] == ["trace_id"], "exemplars lead nowhere")
    expect(all(by_uid[e["datasourceUid"]]["type"] == "tempo" for e in exemplars), "not to Tempo")
    back = by_uid["tempo"]["jsonData"]["tracesToMetrics"]
    expect(by_uid[back["datasourceUid"]]["type"] == "prometheus", "spans do not lead to metrics")
    expect({"key": "health.check.name", "value": "check"} in back["tags"], "nor to their check's")
    provider = load("dashboards/grafana/provisioning/dashboards/dashboards.yml")[0]["providers"][0]
    mounts = dict(volume.split(":")[:2] for volume in services["grafana"]["volumes"])
    expect(mounts["./dashboards/grafana"] == provider["options"]["path"], "no dashboards are found")


def tempo(services):
    config = load("dashboards/tempo/tempo.yml")[0]
    receivers = config["distributor"]["receivers"]["otlp"]["protocols"]
    text = (ROOT / "dashboards/compose/vitalsign.toml").read_text(encoding="utf-8")
    port = receivers["grpc"]["endpoint"].rpartition(":")[2]
    expect(f'traces_endpoint = "http://tempo:{port}"' in text, "traces are sent elsewhere")
    expect(f"tempo:{config['server']['http_listen_port']}/ready" in text, "Tempo is asked elsewhere")
    data = [volume.split(":")[1] for volume in services["tempo"]["volumes"]]
    for path in (config["storage"]["trace"][kind]["path"] for kind in ("wal", "local")):
        expect(any(path.startswith(mount) for mount in data), f"Tempo: {path} is in no volume")


def prometheus(services):
    config = load("dashboards/prometheus/prometheus.yml")[0]
    for file in config["rule_files"]:
        expect((ROOT / "dashboards/prometheus" / file).is_file(), f"there are no rules {file}")
    managers = config["alerting"]["alertmanagers"]
    for one in [*managers, *config["scrape_configs"]]:
        for target in (t for group in one["static_configs"] for t in group["targets"]):
            expect(target.split(":")[0] in services, f"Prometheus: there is no {target}")


def kubernetes():
    manifests = {}
    for file in sorted((ROOT / "dashboards/kubernetes").glob("*.yml")):
        for manifest in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            manifests[manifest["kind"], manifest["metadata"]["name"]] = manifest
    pod = manifests["Deployment", "vitalsign"]["spec"]["template"]
    container = pod["spec"]["containers"][0]
    probes = [("startupProbe", "/startup"), ("readinessProbe", "/ready"), ("livenessProbe", "/health")]
    for probe, path in probes:
        expect(container[probe]["httpGet"]["path"] == path, f"{probe} does not ask {path}")
    service = manifests["Service", "vitalsign"]
    monitor = manifests["ServiceMonitor", "vitalsign"]["spec"]
    chosen = monitor["selector"]["matchLabels"].items()
    expect(chosen <= service["metadata"]["labels"].items(), "the monitor chooses no service")
    expect(service["spec"]["selector"].items() <= pod["metadata"]["labels"].items(), "nor it a pod")
    ports = {port["name"] for port in service["spec"]["ports"]}
    expect({endpoint["port"] for endpoint in monitor["endpoints"]} <= ports, "no such port")
    expect(service["metadata"]["labels"][monitor["jobLabel"]] == "vitalsign", "another job")
    boards = [m for (kind, _), m in manifests.items() if "grafana_dashboard" in m["metadata"]["labels"]]
    expect(len(boards) == 4, f"{len(boards)} dashboards")
    rules = manifests["PrometheusRule", "vitalsign"]["spec"]["groups"]
    files = (load(f"dashboards/prometheus/{name}.yml") for name in ("recording", "alerts"))
    expect(rules == [g for file in files for g in file[0]["groups"]], "other rules than Prometheus'")
    for made in (rule for group in rules for rule in group["rules"]):
        expect(("alert" in made) != ("record" in made) and "expr" in made, f"no rule: {made}")


services = compose()
data_sources(services)
tempo(services)
prometheus(services)
kubernetes()
if wrong:
    sys.exit("\n".join(wrong))
