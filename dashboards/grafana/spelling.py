"""How Grafana spells panels, variables, links and annotations.

What goes in is a query, a unit and a sentence; what comes out is the JSON of a dashboard. Positions
and ids are counted here, so that panels are simply listed in the order in which they are read.
"""

import json
from urllib.parse import quote

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

# Every selector of an instance, and every selector of a check.
INSTANCE = 'job=~"$job", instance=~"$instance"'
CHECK = INSTANCE + ', check=~"$check"'

GREEN, YELLOW, ORANGE, RED, BLUE, GREY = "green", "yellow", "orange", "red", "blue", "#8e8e8e"

# A status as a number, the worst the highest: a timeline shows numbers, and of several instances
# the worst counts.
CHECK_STATUS = {"up": GREEN, "degraded": YELLOW, "unknown": GREY, "down": RED}
SERVICE_STATUS = {
    "up": GREEN, "degraded": YELLOW, "starting": BLUE, "draining": ORANGE, "down": RED,
}


def ranked(metric, selector, statuses, by):
    """The worst status of each group as its rank."""
    ranks = " or ".join(
        f'{metric}{{{selector}, status="{status}"}} * {rank}'
        for rank, status in enumerate(statuses)
    )
    return f"max by ({by}) ({ranks})"


def check_status(by):
    return ranked("health_check_status", CHECK, CHECK_STATUS, by)


def service_status(by):
    return ranked("health_status", INSTANCE, SERVICE_STATUS, by)


def query(expr, legend="", *, instant=False, form="time_series", exemplar=False):
    """One query of a panel; `form` is time_series, table or heatmap."""
    return {
        "datasource": DATASOURCE,
        "expr": expr,
        "legendFormat": legend or "__auto",
        "format": form,
        "instant": instant,
        "range": not instant,
        "exemplar": exemplar,
    }


def steps(*pairs):
    """Thresholds: a colour to start with, then at which value the next one begins."""
    return {
        "mode": "absolute",
        "steps": [{"color": color, "value": value} for value, color in pairs],
    }


def mapping(statuses):
    """Ranks back into words and colours."""
    return [{
        "type": "value",
        "options": {
            str(rank): {"text": status, "color": color, "index": rank}
            for rank, (status, color) in enumerate(statuses.items())
        },
    }]


def flag(yes, no, yes_color=GREEN, no_color=RED):
    """What 1 and 0 are called."""
    return [{
        "type": "value",
        "options": {
            "1": {"text": yes, "color": yes_color, "index": 0},
            "0": {"text": no, "color": no_color, "index": 1},
        },
    }]


def to(dashboard, title, *variables):
    """A link from a value to a dashboard, at the same time and for the labels of that value."""
    carried = "&".join(f"var-{name}=${{__field.labels.{name}}}" for name in variables)
    rest = "&".join(f"${{{name}:queryparam}}" for name in ("datasource", "job", "instance")
                    if name not in variables)
    return {"title": title, "url": f"/d/{dashboard}?{rest}&{carried}&${{__url_time_range}}"}


def row_to(dashboard, title, *variables):
    """A link from a row of a table to a dashboard."""
    carried = "&".join(f"var-{name}=${{__data.fields.{name}}}" for name in variables)
    return {"title": title, "url": f"/d/{dashboard}?${{datasource:queryparam}}&{carried}"
                                   "&${__url_time_range}"}


def panel(kind, title, description, unit, targets, *, size, options, custom=None, mappings=None,
          thresholds=None, links=None, low=None, high=None, decimals=None, color=None,
          overrides=None, transformations=None, no_value=None):
    """A panel of any kind; the others say what is usual of theirs."""
    defaults = {"unit": unit, "thresholds": thresholds or steps((None, GREEN))}
    optional = {"min": low, "max": high, "decimals": decimals, "mappings": mappings,
                "links": links, "noValue": no_value, "custom": custom}
    defaults |= {name: value for name, value in optional.items() if value is not None}
    defaults["color"] = {"mode": color or "palette-classic"}
    made = {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "targets": [dict(target, refId=chr(ord("A") + n)) for n, target in enumerate(targets)],
        "fieldConfig": {"defaults": defaults, "overrides": overrides or []},
        "options": options,
        "gridPos": {"w": size[0], "h": size[1]},
    }
    if transformations:
        made["transformations"] = transformations
    return made


def stat(title, description, expr, unit="none", *, width=4, legend="", **more):
    """The latest value of a query as a large number."""
    targets = expr if isinstance(expr, list) else [query(expr, legend, instant=True)]
    more.setdefault("thresholds", steps((None, GREEN)))
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "orientation": "auto",
        "colorMode": "background" if more.pop("filled", False) else "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "textMode": "auto",
        "wideLayout": True,
        "showPercentChange": False,
        "percentChangeColorMode": "standard",
    }
    return panel("stat", title, description, unit, targets, size=(width, 4), options=options,
                 color="thresholds", **more)


def series(title, description, targets, unit, *, width=12, height=8, stack=False, bars=False,
           limit=False, every=None, **more):
    """Values over time; `limit` draws the thresholds as lines, `every` is the shortest step."""
    custom = {
        "drawStyle": "bars" if bars else "line",
        "lineWidth": 1,
        "fillOpacity": 60 if bars else 25 if stack else 8,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stack else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if limit else "off"},
    }
    options = {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True,
                   "calcs": ["mean", "max", "lastNotNull"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    more.setdefault("low", 0)
    made = panel("timeseries", title, description, unit, targets, size=(width, height),
                 options=options, custom=custom, **more)
    return made | ({"interval": every} if every else {})


def timeline(title, description, targets, statuses, *, width=24, height=8, **more):
    """A bar a series, coloured by its status."""
    mappings = statuses if isinstance(statuses, list) else mapping(statuses)
    options = {
        "mergeValues": True,
        "showValue": "never",
        "alignValue": "left",
        "rowHeight": 0.8,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    return panel("state-timeline", title, description, "none", targets, size=(width, height),
                 options=options, custom={"lineWidth": 0, "fillOpacity": 80}, mappings=mappings,
                 color="thresholds", **more)


def heatmap(title, description, expr, unit, *, width=12, height=8):
    """Where the values of a histogram lie, over time; a dot is an exemplar."""
    options = {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Turbo", "steps": 64, "fill": "dark-orange",
                  "exponent": 0.5, "reverse": False},
        "exemplars": {"color": "rgba(255,255,255,0.9)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto", "value": "Runs"},
        "showValue": "never",
        "tooltip": {"mode": "single", "yHistogram": True, "showColorScale": True},
        "yAxis": {"axisPlacement": "left", "unit": unit, "reverse": False},
    }
    custom = {"hideFrom": {"legend": False, "tooltip": False, "viz": False},
              "scaleDistribution": {"type": "linear"}}
    return panel("heatmap", title, description, unit,
                 [query(expr, "{{le}}", form="heatmap", exemplar=True)],
                 size=(width, height), options=options, custom=custom)


def table(title, description, columns, *, labels, width=24, height=9, links=None, sort=None):
    """A row for each set of `labels`; a column is a query, its name and how it is shown."""
    targets = [query(expr, instant=True, form="table") for expr, _, _ in columns]
    names = {"Value" if len(columns) == 1 else f"Value #{chr(ord('A') + n)}": name
             for n, (_, name, _) in enumerate(columns)}
    overrides = [
        {"matcher": {"id": "byName", "options": name},
         "properties": [{"id": key, "value": value} for key, value in look.items()]}
        for _, name, look in columns if look
    ]
    if links:
        overrides.append({"matcher": {"id": "byName", "options": "check"},
                          "properties": [{"id": "links", "value": links}]})
    order = {name: n for n, name in enumerate([*labels, *names])}
    transformations = [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": {"Time": True}, "indexByName": order,
                                       "renameByName": names}},
    ]
    options = {"showHeader": True, "cellHeight": "sm",
               "sortBy": [{"displayName": sort, "desc": True}] if sort else []}
    return panel("table", title, description, "none", targets, size=(width, height),
                 options=options, custom={"align": "auto", "cellOptions": {"type": "auto"},
                                          "inspect": False},
                 color="thresholds", overrides=overrides, transformations=transformations)


COLORED = {"type": "color-background", "mode": "basic"}


def row(title):
    """A line between panels."""
    return {"type": "row", "title": title, "collapsed": False, "panels": [],
            "gridPos": {"w": 24, "h": 1}}


def place(panels):
    """Gives each panel its id, and its place beside or below the one before."""
    x = y = tallest = 0
    for number, made in enumerate(panels, 1):
        at = made["gridPos"]
        if x + at["w"] > 24:
            x, y, tallest = 0, y + tallest, 0
        made["gridPos"] = {"x": x, "y": y, "w": at["w"], "h": at["h"]}
        made["id"] = number
        x, tallest = x + at["w"], max(tallest, at["h"])
    return panels


def variable(name, label, of):
    """Values of a label, of which several or all may be chosen."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": f"label_values({of}, {name})", "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def source(name, label, kind):
    """A data source of a kind, whichever the reader has."""
    return {"name": name, "label": label, "type": "datasource", "query": kind, "refresh": 1,
            "regex": "", "multi": False, "includeAll": False}


VARIABLES = [
    source("datasource", "Data source", "prometheus"),
    variable("job", "Job", "health_ready"),
    variable("instance", "Instance", 'health_ready{job=~"$job"}'),
    variable("check", "Check", f"health_check_info{{{INSTANCE}}}"),
]


def annotation(name, color, expr, title):
    return {
        "name": name,
        "datasource": DATASOURCE,
        "enable": True,
        "hide": False,
        "iconColor": color,
        "expr": expr,
        "step": "15s",
        "titleFormat": title,
        "textFormat": "{{instance}}",
        "useValueForTime": "false",
    }


ANNOTATIONS = [
    annotation(
        "Status changes", BLUE,
        "sum by (job, instance, check, to) "
        f"(changes(health_check_transitions_total{{{CHECK}}}[$__rate_interval])) > 0",
        "{{check}} is {{to}}",
    ),
    annotation(
        "Reloads", "purple",
        "sum by (job, instance, outcome) "
        f"(changes(health_config_reloads_total{{{INSTANCE}}}[$__rate_interval])) > 0",
        "Configuration reloaded: {{outcome}}",
    ),
    annotation(
        "Restarts", ORANGE,
        f"changes(process_start_time_seconds{{{INSTANCE}}}[$__rate_interval]) > 0",
        "{{job}} restarted",
    ),
]

# In Explore, of the Tempo data source that is there: every kept trace of the chosen checks.
TRACES = source("traces", "Traces", "tempo")


def explore_traces():
    panes = {"traces": {
        "datasource": "${traces}",
        "queries": [{"refId": "A", "queryType": "traceql", "tableType": "traces", "limit": 20,
                     "query": '{ name =~ "health.check .+" '
                              '&& span.health.check.name =~ "${check:regex}" }'}],
        "range": {"from": "${__from}", "to": "${__to}"},
    }}
    text = quote(json.dumps(panes, separators=(",", ":")), safe="${}:_")
    return {"title": "Traces of these checks", "type": "link", "icon": "external link",
            "url": f"/explore?schemaVersion=1&orgId=1&panes={text}",
            "tooltip": "Opens the kept traces of the chosen checks in Explore",
            "tags": [], "targetBlank": True, "asDropdown": False, "includeVars": False,
            "keepTime": False}


def dashboard(uid, title, description, panels, *, variables=(), links=()):
    """A whole dashboard."""
    others = {"title": "vitalsign", "type": "dashboards", "tags": ["vitalsign"], "asDropdown": True,
              "includeVars": True, "keepTime": True, "targetBlank": False, "icon": "external link",
              "tooltip": "The other dashboards, for the same choice and time", "url": ""}
    return {
        "uid": uid,
        "title": f"vitalsign / {title}",
        "description": description,
        "tags": ["vitalsign"],
        "schemaVersion": 42,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [others, *links],
        "templating": {"list": [*VARIABLES, *variables]},
        "annotations": {"list": ANNOTATIONS},
        "panels": place(panels),
    }
