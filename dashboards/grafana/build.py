#!/usr/bin/env python3
"""Writes the dashboards.

    dashboards/grafana/build.py            writes the JSON files beside it
    dashboards/grafana/build.py --check    fails when one is not what would be written

The four dashboards are below, a call a panel; `spelling.py` knows how Grafana spells them. Nothing
but Python's standard library is needed.
"""

import json
import sys
from pathlib import Path

from spelling import (
    BLUE, CHECK, CHECK_STATUS, COLORED, GREEN, GREY, INSTANCE, ORANGE, RED, SERVICE_STATUS,
    TRACES, YELLOW, check_status, dashboard, explore_traces, flag, heatmap, mapping, query, row,
    row_to, series, service_status, stat, steps, table, timeline, to,
)

RATE = "$__rate_interval"


def checks(metric, more=""):
    return f"{metric}{{{CHECK}{more}}}"


def instances(metric, more=""):
    return f"{metric}{{{INSTANCE}{more}}}"


def total(by):
    return f"sum by ({by}) " if by else "sum"


def rate(selector, by=""):
    return f"{total(by)}(rate({selector}[{RATE}]))"


def born(selector, known, by=""):
    """Growth within a window of counters that appear with their first event, at 1 or more.

    A series that was not there before the window counts whole where `known`, which says how much
    may have come in the window, agrees: else the service itself has only been met.
    """
    before = f"{selector} offset {RATE}"
    grown = f"(increase({selector}[{RATE}]) and {before})"
    return f"{total(by)}({grown} or ({selector} unless {before}) {known})"


def share(part, whole, window, by=""):
    """The share of a counter's increase."""
    return f"{total(by)}(increase({part}[{window}])) / {total(by)}(increase({whole}[{window}]))"


def availability(window, by=""):
    good = checks("health_check_slo_runs_total", ', result="good"')
    return share(good, checks("health_check_slo_runs_total"), window, by)


def quantile(share_, bucket, by=""):
    """A quantile of a histogram's recent values."""
    by = f"{by}, le" if by else "le"
    return f"histogram_quantile({share_}, {rate(bucket, by)})"


RUNS = checks("health_check_duration_seconds_bucket")
EACH = "job, check"
ROUGHLY = steps((None, RED), (0.99, YELLOW), (0.999, GREEN))
NONE_IS_GOOD = steps((None, GREEN), (1, RED))
TO_DEPENDENCY = to("vitalsign-dependency", "The dependency in detail", "job", "check")


def number_in(status, color):
    """How many checks have a status on at least one instance."""
    having = checks("health_check_status", f', status="{status}"')
    return {
        "expr": f"sum(max by ({EACH}) ({having}))",
        "thresholds": steps((None, GREEN), (1, color)),
    }


def certificate_seconds(by):
    metric = checks("health_check_tls_certificate_not_after_timestamp_seconds")
    return f"min by ({by}) ({metric}) - time()"


CERTIFICATE = steps((None, RED), (7 * 86400, YELLOW), (21 * 86400, GREEN))


def overview():
    return dashboard(
        "vitalsign-overview", "Overview",
        "Whether services are ready, which of their dependencies are not up, and since when.",
        [
            stat("Instances ready",
                 "Instances whose readiness probe answers 200, of all that are scraped.",
                 [query(f"sum({instances('health_ready')})", "ready", instant=True),
                  query(f"count({instances('health_ready')})", "of", instant=True)],
                 thresholds=steps((None, RED), (1, GREEN))),
            stat("Targets not scraped",
                 "Targets that Prometheus cannot scrape: the service is gone, hangs or is cut off.",
                 f"sum(1 - {instances('up')})", thresholds=NONE_IS_GOOD),
            stat("Checks down", "Checks that are down on at least one instance.",
                 width=3, **number_in("down", RED)),
            stat("Checks degraded",
                 "Checks that answer on every instance, but slowly or with a caveat on one.",
                 width=3, **number_in("degraded", YELLOW)),
            stat("Checks unknown",
                 "Checks that have not run for three intervals and a timeout, or could not ask.",
                 width=3, **number_in("unknown", ORANGE)),
            stat("Silenced checks",
                 "Checks that raise no alert: one they depend on is down, or it is maintained.",
                 f"sum(max by ({EACH}) ({checks('health_check_suppressed')}"
                 f" + {checks('health_check_maintenance')} > bool 0))",
                 width=3, thresholds=steps((None, GREEN), (1, BLUE))),
            stat("Availability",
                 "Share of good runs over the chosen time; runs in maintenance do not count.",
                 availability("$__range"), "percentunit", decimals=3, thresholds=ROUGHLY),
            timeline("Status of checks",
                     "The status of each check over time; of several instances the worst counts.",
                     [query(check_status(EACH), "{{job}}/{{check}}")], CHECK_STATUS,
                     height=10, links=[TO_DEPENDENCY]),
            timeline("Status of services",
                     "The status that each instance reports of itself; a gap is one that was not "
                     "scraped.",
                     [query(service_status("job, instance"), "{{job}} on {{instance}}")],
                     SERVICE_STATUS, height=6,
                     links=[to("vitalsign-service", "The instance in detail", "job", "instance")]),
            table("Checks",
                  "Every check now: its worst status, how available and how fast it was, how many "
                  "runs in a row have failed, and how long ago one was good.",
                  [
                      (check_status(EACH), "status",
                       {"mappings": mapping(CHECK_STATUS), "custom.cellOptions": COLORED}),
                      (availability("$__range", EACH), "availability",
                       {"unit": "percentunit", "decimals": 3, "thresholds": ROUGHLY}),
                      (quantile(0.95, RUNS, EACH), "p95 duration", {"unit": "s"}),
                      (f"max by ({EACH}) ({checks('health_check_consecutive_failures')})",
                       "failed in a row", {"unit": "none", "thresholds": NONE_IS_GOOD}),
                      (f"time() - min by ({EACH}) "
                       f"({checks('health_check_last_success_timestamp_seconds')})",
                       "last good run", {"unit": "s", "decimals": 0}),
                  ],
                  labels=["job", "check"], sort="status",
                  links=[row_to("vitalsign-dependency", "The dependency in detail",
                                "job", "check")]),
            series("Failed runs",
                   "Runs that failed or timed out, by check; the dependency dashboard has the "
                   "reasons.",
                   [query(rate(checks("health_check_runs_total", ', outcome=~"failure|timeout"'),
                               EACH), "{{job}}/{{check}}")],
                   "cps", stack=True, links=[TO_DEPENDENCY]),
            series("Duration of runs, 95th percentile",
                   "Nineteen of twenty runs took at most this long; a dot is a run whose trace "
                   "was kept, and opens it.",
                   [query(quantile(0.95, RUNS, EACH), "{{job}}/{{check}}", exemplar=True)],
                   "s", links=[TO_DEPENDENCY]),
        ],
    )


def configured(what):
    """A configured figure of each check, with what its information says of it."""
    info = f"max by ({EACH}, kind, gates, server_address, server_port) " \
           f"({checks('health_check_info')})"
    figure = f"max by ({EACH}) ({checks(f'health_check_{what}_seconds')})"
    return f"{info} * on ({EACH}) group_left () {figure}"


def dependency():
    failures = checks("health_check_failures_total")
    runs = checks("health_check_runs_total", ', outcome=~"failure|timeout"')
    each_check = "job, instance, check, kind"
    failed = (f"<= on ({each_check}) group_left "
              f"sum by ({each_check}) ({runs} - min_over_time({runs}[{RATE}]))")
    return dashboard(
        "vitalsign-dependency", "Dependency",
        "One dependency, or several side by side: how it is, how fast, why runs failed, and the "
        "traces of those that did.",
        [
            stat("Status", "The status now; of several checks and instances the worst counts.",
                 check_status("job"), mappings=mapping(CHECK_STATUS), filled=True,
                 thresholds=steps((None, GREEN), (1, YELLOW), (2, GREY), (3, RED))),
            stat("Availability",
                 "Share of good runs over the chosen time; runs in maintenance do not count.",
                 availability("$__range"), "percentunit", decimals=3, thresholds=ROUGHLY),
            stat("Failed in a row", "Most failed runs since the last good one.",
                 f"max({checks('health_check_consecutive_failures')})", thresholds=NONE_IS_GOOD),
            stat("Last good run", "How long ago the last good run ended, where that is longest.",
                 f"time() - min({checks('health_check_last_success_timestamp_seconds')})", "s",
                 decimals=0, no_value="never"),
            stat("Slowest against its timeout",
                 "The 95th percentile of the duration as a share of the configured timeout.",
                 f"max({quantile(0.95, RUNS, EACH)} / on ({EACH}) "
                 f"min by ({EACH}) ({checks('health_check_timeout_seconds')}))",
                 "percentunit", decimals=1,
                 thresholds=steps((None, GREEN), (0.5, YELLOW), (0.9, RED))),
            stat("Certificate expires in",
                 "Time until the first certificate of a chain expires, where checks see one.",
                 f"min({certificate_seconds(EACH)})", "s", decimals=0, no_value="no certificate",
                 thresholds=CERTIFICATE),
            timeline("Status", "The status of each check as each instance sees it.",
                     [query(check_status("job, instance, check"), "{{check}} on {{instance}}")],
                     CHECK_STATUS, height=7),
            series("Duration of runs",
                   "Half, nineteen of twenty, and ninety-nine of a hundred runs took at most this "
                   "long. A dot is a run whose trace was kept: click it to open the trace.",
                   [query(quantile(share_, RUNS, EACH), f"{{{{check}}}} {name}", exemplar=True)
                    for share_, name in [(0.5, "p50"), (0.95, "p95"), (0.99, "p99")]], "s"),
            heatmap("Where the durations lie",
                    "Runs by duration: a second band is a second behaviour, such as a retry or a "
                    "cold cache. A dot is a run whose trace was kept.",
                    f"sum by (le) (increase({RUNS}[{RATE}]))", "s"),
            series("Failed runs by reason",
                   "Why runs failed, by the number of runs; a reason shows once it was seen.",
                   [query(born(failures, failed, "check, reason"), "{{check}} {{reason}}")],
                   "none", bars=True, stack=True),
            series("Runs by outcome",
                   "How runs ended; unknown ones could not be asked for want of a local resource.",
                   [query(rate(checks("health_check_runs_total"), "outcome"), "{{outcome}}")],
                   "cps", stack=True),
            series("Phases of the last run",
                   "Where the time went, averaged over instances: looking up the name, connecting, "
                   "TLS, waiting for the answer, reading it.",
                   [query(f"avg by (check, phase) "
                          f"({checks('health_check_phase_duration_seconds')})",
                          "{{check}} {{phase}}")],
                   "s", stack=True),
            series("Status changes", "Changes of status by the one that was entered.",
                   [query(f"sum by (check, to) "
                          f"(increase({checks('health_check_transitions_total')}[{RATE}]))",
                          "{{check}} to {{to}}")],
                   "none", bars=True),
            row("What some kinds tell"),
            series("Certificates expire in",
                   "Time until the first certificate of the chain expires (tls; http and tcp over "
                   "TLS).",
                   [query(certificate_seconds("job, check"), "{{check}}")],
                   "s", width=8, thresholds=CERTIFICATE, limit=True),
            series("Replication lag", "How far a replica is behind in time (postgres, mysql).",
                   [query(f"max by (job, check) "
                          f"({checks('health_check_replication_lag_seconds')})", "{{check}}")],
                   "s", width=8),
            series("Replication lag in bytes",
                   "What a replica has received and not applied, or the slowest replica of a "
                   "primary has not acknowledged (redis).",
                   [query(f"max by (job, check) "
                          f"({checks('health_check_replication_lag_bytes')})", "{{check}}")],
                   "bytes", width=8),
            series("Disk free", "Share of the space and of the inodes that is free (disk).",
                   [query(f"min by (job, check) ({checks('health_check_free_ratio')})",
                          "{{check}} space"),
                    query(f"min by (job, check) ({checks('health_check_inodes_free_ratio')})",
                          "{{check}} inodes")],
                   "percentunit", width=12, high=1),
            series("Connections of pools",
                   "Connections of an application's own pool that are lent out, against how many "
                   "it may hold.",
                   [query(f"max by (job, check) "
                          f"({checks('health_check_pool_in_use_connections')})",
                          "{{check}} in use"),
                    query(f"max by (job, check) ({checks('health_check_pool_max_connections')})",
                          "{{check}} at most")],
                   "none", width=12),
            table("As configured",
                  "What each check asks, which probes it gates, how often it runs and how long a "
                  "run may take.",
                  [
                      (configured("interval"), "interval", {"unit": "s"}),
                      (configured("timeout"), "timeout", {"unit": "s"}),
                  ],
                  labels=["job", "check", "kind", "gates", "server_address", "server_port"],
                  height=6),
        ],
        variables=[TRACES], links=[explore_traces()],
    )


def slo():
    all_runs = checks("health_check_slo_runs_total")
    bad_runs = checks("health_check_slo_runs_total", ', result="bad"')
    objective = f"max by ({EACH}) ({checks('health_check_objective_ratio')})"

    def burn(window):
        return f"({share(bad_runs, all_runs, window, EACH)}) / on ({EACH}) (1 - {objective})"

    left = f"1 - {burn('30d')}"
    burning = steps((None, GREEN), (1, YELLOW), (6, ORANGE), (14.4, RED))
    budget = steps((None, RED), (0, ORANGE), (0.25, YELLOW), (0.5, GREEN))
    name = "{{job}}/{{check}}"
    to_dependency = row_to("vitalsign-dependency", "The dependency in detail", "job", "check")
    return dashboard(
        "vitalsign-slo", "SLO",
        "How much of each check's error budget is left, and how fast it is being spent. Shown are "
        "checks that have an objective.",
        [
            stat("Checks with an objective", "Checks for which an objective is configured.",
                 f"count({objective})", width=6),
            stat("Least budget left",
                 "What is left of the error budget of 30 days, where that is least; below zero it "
                 "is overspent.",
                 f"min({left})", "percentunit", width=6, decimals=1, thresholds=budget),
            stat("Fastest burn, last hour",
                 "How many times faster than the objective allows the budget was spent; 1 spends "
                 "it in 30 days, 14.4 in two.",
                 f"max({burn('1h')})", "none", width=6, decimals=1, thresholds=burning),
            stat("Budgets overspent", "Checks whose error budget of 30 days is used up.",
                 f"sum({left} < bool 0)", width=6, thresholds=NONE_IS_GOOD),
            table("Objectives",
                  "Every objective: what was wanted and reached over 30 days, the budget left, and "
                  "the burn rates that alerts look at.",
                  [
                      (objective, "objective", {"unit": "percentunit", "decimals": 3}),
                      (f"({availability('30d', EACH)}) and on ({EACH}) {objective}",
                       "30 d availability", {"unit": "percentunit", "decimals": 3}),
                      (left, "budget left",
                       {"unit": "percentunit", "decimals": 1, "thresholds": budget,
                        "custom.cellOptions": COLORED}),
                      *[(burn(window), f"burn {window}",
                         {"unit": "none", "decimals": 2, "thresholds": burning})
                        for window in ("5m", "1h", "6h", "1d", "3d")],
                  ],
                  labels=["job", "check"], links=[to_dependency]),
            series("Budget left", "What is left of the error budget of 30 days, over time.",
                   [query(left, name)], "percentunit", low=None, high=1,
                   every="5m", thresholds=budget, limit=True),
            series("Burn over one hour",
                   "With the 5 minutes that show whether it goes on: above 14.4 both, a page is "
                   "due.",
                   [query(burn("1h"), f"{name} 1h"), query(burn("5m"), f"{name} 5m")],
                   "none", every="1m", thresholds=steps((None, GREEN), (14.4, RED)), limit=True),
            series("Burn over six hours",
                   "With the 30 minutes that show whether it goes on: above 6 both, a page is due.",
                   [query(burn("6h"), f"{name} 6h"), query(burn("30m"), f"{name} 30m")],
                   "none", every="1m", thresholds=steps((None, GREEN), (6, RED)), limit=True),
            series("Burn over one and three days",
                   "Slow burns, worth a ticket: above 3 over a day or above 1 over three.",
                   [query(burn("1d"), f"{name} 1d"), query(burn("3d"), f"{name} 3d")],
                   "none", every="5m", thresholds=steps((None, GREEN), (1, YELLOW), (3, RED)),
                   limit=True),
            series("Bad runs", "Runs that spend the budget.",
                   [query(f"{rate(bad_runs, EACH)} and on ({EACH}) {objective}", name)],
                   "cps", width=24, stack=True),
        ],
    )


def service():
    requests = instances("http_server_request_duration_seconds_count")
    answers = instances("http_server_request_duration_seconds_count",
                        ', http_route!~"/(health|live|ready|startup)z?(/.*)?"')
    errors = answers.replace("}", ', http_response_status_code=~"[45].."}')
    scraped = f"and on (job, instance) {instances('health_live')} offset {RATE}"
    durations = instances("http_server_request_duration_seconds_bucket")
    history = instances("health_history_write_duration_seconds_bucket")
    delays = instances("health_check_scheduling_delay_seconds_bucket")
    started = f"min by (job, instance) ({instances('process_start_time_seconds')})"
    each, name = "job, instance", "{{instance}}"
    return dashboard(
        "vitalsign-service", "Service",
        "vitalsign itself: what its probes answer, what is asked of it, whether its own work keeps "
        "up, and what it costs.",
        [
            stat("Status", "The status that the service reports; of several the worst.",
                 service_status("job"), mappings=mapping(SERVICE_STATUS), filled=True,
                 thresholds=steps((None, GREEN), (1, YELLOW), (2, BLUE), (3, ORANGE), (4, RED))),
            stat("Version", "The version that runs; during a rollout there are two.",
                 [query(f"count by (version) ({instances('health_build_info')})", "{{version}}",
                        instant=True)]),
            stat("Youngest", "Time since the instance that started last did.",
                 f"time() - max({started})", "s", decimals=0),
            stat("Checks configured", "Checks of the plan, where there are most.",
                 f"max({instances('health_checks_configured')})"),
            stat("Last reload", "Whether every instance applied the last configuration it read.",
                 f"min({instances('health_config_last_reload_successful')})",
                 mappings=flag("applied", "refused"), thresholds=steps((None, RED), (1, GREEN))),
            stat("Configuration is from", "How long ago a configuration was last applied.",
                 f"time() - max("
                 f"{instances('health_config_last_reload_success_timestamp_seconds')})",
                 "s", decimals=0),
            timeline("Probes", "What each probe answers: 200 is green, 503 red.",
                     [query(f"min by ({each}) ({instances(metric)})", f"{probe} {name}")
                      for metric, probe in [("health_live", "live"), ("health_started", "started"),
                                            ("health_ready", "ready")]],
                     flag("200", "503"), height=6),
            row("Checks"),
            series("Runs", "Runs that ended, by outcome.",
                   [query(rate(checks("health_check_runs_total"), "outcome"), "{{outcome}}")],
                   "cps", width=8, stack=True),
            series("Scheduling delay",
                   "Time from when a run was due to its start; growth means too little CPU, or "
                   "checks that block.",
                   [query(quantile(share_, delays), name_)
                    for share_, name_ in [(0.5, "p50"), (0.99, "p99")]], "s", width=8),
            series("Skipped runs",
                   "Due runs that were not started: the last one was still going (overrun), or as "
                   "many as allowed were (limit).",
                   [query(rate(checks("health_check_skipped_total"), "check, reason"),
                          "{{check}} {{reason}}")], "cps", width=8),
            row("HTTP"),
            series("Requests", "How many requests came, by the route that answered them.",
                   [query(born(requests, scraped, "http_route"), "{{http_route}}")],
                   "none", width=8, bars=True, stack=True),
            series("Share of errors",
                   "Answers of 4xx and 5xx; the probes are left out, whose 503 is an answer.",
                   [query(f"({born(errors, scraped)} or vector(0)) / {born(answers, scraped)}",
                          "errors")],
                   "percentunit", width=8, high=1),
            series("Duration of requests", "Time from a request's head to the head of its answer.",
                   [query(f"histogram_quantile({share_}, {born(durations, scraped, 'le')})", name_)
                    for share_, name_ in [(0.5, "p50"), (0.95, "p95"), (0.99, "p99")]],
                   "s", width=8),
            series("Active requests", "Requests whose answer has not begun yet.",
                   [query(f"sum by ({each}) ({instances('http_server_active_requests')})", name)],
                   "none"),
            series("Refused before routing",
                   "Connections and requests that were refused, by reason.",
                   [query(rate(instances("health_http_rejected_total"), "reason"), "{{reason}}")],
                   "cps", stack=True),
            row("History, traces and alerts"),
            series("History queue",
                   "Changes and runs that wait to be written, and how many may; past that they are "
                   "dropped.",
                   [query(f"sum by ({each}) ({instances('health_history_queue_length')})",
                          f"{name} waiting"),
                    query(f"sum by ({each}) ({instances('health_history_queue_capacity')})",
                          f"{name} at most")], "none", width=8),
            series("History writes and drops",
                   "Writes to the store by outcome, and what was dropped instead, by reason.",
                   [query(rate(instances("health_history_writes_total"), "outcome"),
                          "{{outcome}}"),
                    query(rate(instances("health_history_dropped_total"), "reason"),
                          "dropped: {{reason}}")], "cps", width=8),
            series("Duration of history writes", "How long the store takes for a batch.",
                   [query(quantile(share_, history), name_)
                    for share_, name_ in [(0.5, "p50"), (0.99, "p99")]], "s", width=8),
            series("History store", "Whether the store of the history can be written: 1 or 0.",
                   [query(f"min by ({each}, backend) ({instances('health_history_store_up')})",
                          f"{name} {{{{backend}}}}")],
                   "bool_on_off", width=8, high=1),
            series("History size", "Size of the store on disk.",
                   [query(f"max by ({each}) ({instances('health_history_size_bytes')})", name)],
                   "bytes", width=8),
            series("Posts to Alertmanager", "Posts of alerts by outcome, where it is configured.",
                   [query(rate(instances("health_alertmanager_posts_total"), "outcome"),
                          "{{outcome}}")], "cps", width=8),
            series("Spans waiting", "Spans that wait to be exported.",
                   [query(f"sum by ({each}) ({instances('otel_sdk_processor_span_queue_size')})",
                          name)], "none", width=8),
            series("Spans dropped", "Spans for which the queue had no room, or that came too late.",
                   [query(rate(instances("otel_sdk_processor_span_processed_total",
                                         ', error_type!=""'), "error_type"), "{{error_type}}")],
                   "cps", width=8),
            series("Spans exported",
                   "Spans that were sent; those with a reason were lost on the way.",
                   [query(rate(instances("otel_sdk_exporter_span_exported_total"), "error_type"),
                          "sent {{error_type}}")],
                   "cps", width=8, stack=True),
            row("Process"),
            series("CPU", "CPU time that is used each second, in cores.",
                   [query(rate(instances("process_cpu_seconds_total"), each), name)],
                   "none", width=8),
            series("Memory", "Resident memory of each instance.",
                   [query(f"sum by ({each}) ({instances('process_resident_memory_bytes')})",
                          name)], "bytes", width=8),
            series("File descriptors", "Open descriptors as a share of how many may be.",
                   [query(f"max by ({each}) ({instances('process_open_fds')} / "
                          f"{instances('process_max_fds')})", name)],
                   "percentunit", width=8, high=1,
                   thresholds=steps((None, GREEN), (0.8, RED)), limit=True),
            series("Threads", "Threads of each instance.",
                   [query(f"sum by ({each}) ({instances('process_threads')})", name)],
                   "none", width=6),
            series("Runtimes busy",
                   "Share of the time that the workers of each runtime were busy.",
                   [query(f"{rate(instances('tokio_runtime_busy_seconds_total'), 'runtime')} / "
                          f"sum by (runtime) ({instances('tokio_runtime_workers')})",
                          "{{runtime}}")], "percentunit", width=6, high=1),
            series("Tasks", "Tasks that have not ended, and those that wait in the shared queue.",
                   [query(f"sum by (runtime) ({instances('tokio_runtime_alive_tasks')})",
                          "{{runtime}} alive"),
                    query(f"sum by (runtime) ({instances('tokio_runtime_global_queue_depth')})",
                          "{{runtime}} queued")], "none", width=6),
            series("Parks", "How often workers went to sleep for want of work.",
                   [query(rate(instances("tokio_runtime_parks_total"), "runtime"),
                          "{{runtime}}")], "cps", width=6),
        ],
    )


def main():
    folder = Path(__file__).parent
    stale = []
    for made in (overview(), dependency(), slo(), service()):
        file = folder / f"{made['uid'].removeprefix('vitalsign-')}.json"
        text = json.dumps(made, indent=2, ensure_ascii=False) + "\n"
        if sys.argv[1:] == ["--check"]:
            if not file.exists() or file.read_text(encoding="utf-8") != text:
                stale.append(file.name)
        else:
            file.write_text(text, encoding="utf-8")
    if stale:
        sys.exit(f"not what {Path(__file__).name} writes: {', '.join(stale)}; run it")


if __name__ == "__main__":
    main()
