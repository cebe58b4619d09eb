//! One check of a configuration: its common options, its kind's own, and what it makes of both.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use schemars::{JsonSchema, SchemaGenerator};
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use sha2::{Digest as _, Sha256};

use super::defaults::{FAILURE_THRESHOLD, INTERVAL, SUCCESS_THRESHOLD, TIMEOUT};
use super::diagnostics::Report;
use super::kind::{Kind, OptionError, read_options};
use super::names;
use super::prepare::{Prepare, SchemaRef};
use super::read::all_errors;
use super::rules::no_duplicates;
use super::sections::DefaultsSection;
use super::tree::{Entry, Node, Value};
use super::values::{Count, Period};
use crate::engine::check::{
    Check, Declared, MAX_NAME, Options, RESERVED_NAMES, has_label_form, has_name_form,
    is_reserved_label,
};
use crate::model::Gate;

const GATES: [Gate; 1] = [Gate::Ready];
const MIN_INTERVAL: Duration = Duration::from_millis(1);

/// What any check takes, of whatever kind.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CommonOptions {
    /// What it asks: one of the check kinds.
    #[expect(dead_code, reason = "it was looked up in the tree, before the kind's own options")]
    kind: String,
    /// What it is, for people.
    description: Option<String>,
    /// Whether it runs at all. Default true.
    #[schemars(extend("default" = true))]
    enabled: Option<bool>,
    /// Time from one due run to the next. Default that of `[defaults]`, 10 s.
    interval: Option<Period>,
    /// Longest one run may take, shorter than the interval. Default that of `[defaults]`, 2 s or
    /// half the interval, whichever is less.
    timeout: Option<Period>,
    /// Failed runs in a row that make it down. Default that of `[defaults]`, 3.
    failure_threshold: Option<Count>,
    /// Good runs in a row that bring it back. Default that of `[defaults]`, 1.
    success_threshold: Option<Count>,
    /// The probes that answer 503 while it is down: `health`, `ready`, `startup`. Default
    /// `["ready"]`; none makes it informative.
    #[schemars(extend("default" = GATES))]
    gates: Option<Vec<Gate>>,
    /// Checks whose being down suppresses the alerts of this one.
    #[serde(default)]
    depends_on: Vec<String>,
    /// A success slower than this is a warning. Shorter than the timeout.
    degraded_after: Option<Period>,
    /// Percent of good runs wanted over 30 days, above 0 and below 100.
    objective: Option<f64>,
    /// Labels on `health_check_info` and in the status document, by Prometheus label names.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Whether the dependency is sent the trace context. Default true.
    #[schemars(extend("default" = true))]
    propagate: Option<bool>,
}

/// `[defaults]` with its own defaults.
#[derive(Debug, Clone, Copy)]
pub(super) struct Defaults {
    interval: Duration,
    timeout: Option<Duration>,
    failure_threshold: u32,
    success_threshold: u32,
}

impl Defaults {
    pub(super) fn of(section: DefaultsSection, node: &Node, report: &mut Report) -> Self {
        let interval = section.interval.map_or(INTERVAL, |period| period.0);
        let mut timeout = section.timeout.map(|period| period.0);
        if timeout.is_some_and(|timeout| timeout >= interval) {
            report.option(node, "timeout", too_long("timeout", "interval", interval));
            timeout = None;
        }
        if interval < MIN_INTERVAL {
            report.option(node, "interval", TOO_OFTEN);
        }
        Self {
            interval,
            timeout,
            failure_threshold: section.failure_threshold.map_or(FAILURE_THRESHOLD, |count| count.0),
            success_threshold: section.success_threshold.map_or(SUCCESS_THRESHOLD, |count| count.0),
        }
    }
}

/// The schemas of the kinds and of what is common to them.
#[derive(Debug)]
pub(super) struct Schemas {
    pub(super) common: Json,
    pub(super) kinds: BTreeMap<&'static str, Json>,
    pub(super) definitions: Map<String, Json>,
}

impl Schemas {
    pub(super) fn of(kinds: &[Kind]) -> Self {
        let mut generator = SchemaGenerator::default();
        let common = CommonOptions::json_schema(&mut generator).to_value();
        let kinds = kinds
            .iter()
            .map(|kind| (kind.name, (kind.schema)(&mut generator).to_value()))
            .collect();
        Self { common, kinds, definitions: generator.take_definitions(true) }
    }

    fn common_keys(&self) -> Vec<&str> {
        let properties = self.common.get("properties").and_then(Json::as_object);
        properties.into_iter().flatten().map(|(key, _)| key.as_str()).collect()
    }
}

/// A check as far as it could be read.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) enabled: bool,
    pub(super) depends_on: Vec<String>,
    /// Its common options in the tree, for positions.
    pub(super) node: Node,
    pub(super) declared: Option<Declared>,
}

/// Reads checks, one after another.
#[derive(Debug, Clone, Copy)]
pub(super) struct CheckReader<'a> {
    pub(super) kinds: &'static [Kind],
    pub(super) schemas: &'a Schemas,
    pub(super) defaults: Defaults,
}

impl CheckReader<'_> {
    pub(super) fn read(&self, name: &str, entry: Entry, prepare: &mut Prepare<'_>) -> Draft {
        let mut node = entry.node;
        check_name(name, entry.key_at, &node, prepare.report);
        let mut draft = Draft {
            name: name.to_owned(),
            enabled: true,
            depends_on: Vec::new(),
            node: Node::empty(node.at, &node.path),
            declared: None,
        };
        let Some(table) = node.table_mut() else {
            let message = "a check is a table; write it as [checks.NAME]";
            prepare.report.option(&node, "", message);
            return draft;
        };
        let common_keys = self.schemas.common_keys();
        let own = std::mem::take(table);
        let (common, own) =
            own.into_iter().partition(|(key, _)| common_keys.contains(&key.as_str()));
        let mut common = Node { value: Value::Table(common), ..node.clone() };
        let mut own = Node { value: Value::Table(own), ..node };

        let kind = self.kind(&common, prepare.report);
        self.prepare(&mut common, &self.schemas.common, &[], prepare);
        if let Some(kind) = kind
            && let Some(schema) = self.schemas.kinds.get(kind.name)
        {
            self.prepare(&mut own, schema, &common_keys, prepare);
        }
        let mut revision = Sha256::new();
        revision.update(kind.map_or("", |kind| kind.name));
        own.hash(&mut revision);

        let check = kind.and_then(|kind| build(*kind, &mut own, prepare.report));
        if let Some(read) = all_errors(&mut common, prepare.report, &read_options::<CommonOptions>)
        {
            draft.enabled = read.enabled.unwrap_or(true);
            draft.depends_on.clone_from(&read.depends_on);
            let options = self.options(read, &common, prepare.report);
            // With defaults filled in: one that this check overrides does not change it.
            revision.update(format!("{options:?}"));
            let revision = Some(revision.finalize().into());
            draft.declared = check.map(|check| Declared { check, options, revision });
        }
        draft.node = common;
        draft
    }

    fn prepare(&self, node: &mut Node, schema: &Json, others: &[&str], prepare: &mut Prepare<'_>) {
        let definitions = &self.schemas.definitions;
        prepare.run(node, SchemaRef { schema, definitions }, others);
    }

    fn kind(&self, common: &Node, report: &mut Report) -> Option<&'static Kind> {
        let known: Vec<&str> = self.kinds.iter().map(|kind| kind.name).collect();
        let Some(node) = common.get("kind") else {
            let message = format!("missing; {}", names::list("kinds", &known));
            report.absent(common.at, common.path_of("kind"), message);
            return None;
        };
        let name = node.text()?;
        let kind = self.kinds.iter().find(|kind| kind.name == name);
        if kind.is_none() {
            let message = if node.hidden {
                format!("unknown kind; {}", names::list("kinds", &known))
            } else {
                format!("unknown kind `{name}`; {}", names::advice(name, &known, "kinds"))
            };
            report.option(common, "kind", message);
        }
        kind
    }

    fn options(&self, read: CommonOptions, node: &Node, report: &mut Report) -> Options {
        let (interval, timeout) = self.timing(&read, node, report);
        no_duplicates(read.gates.as_deref().unwrap_or_default(), "gates", node, report);
        no_duplicates(&read.depends_on, "depends_on", node, report);
        if read.objective.is_some_and(|percent| percent <= 0.0 || percent >= 100.0) {
            let message = "out of range; write a percentage above 0 and below 100, such as 99.9";
            report.option(node, "objective", message);
        }
        for label in read.labels.keys() {
            label_name(label, node, report);
        }
        let gates = read.gates.unwrap_or_else(|| GATES.to_vec());
        if let Some(index) = gates.iter().position(|gate| *gate == Gate::Health) {
            let (gate, _) = node.locate("gates");
            let message = "a liveness probe that depends on another system makes the orchestrator \
                           restart in circles; gate `ready` instead";
            report.warning(gate.at, format!("{}[{index}]", gate.path), message);
        }
        Options {
            description: read.description,
            interval: Some(interval),
            timeout: Some(timeout),
            failure_threshold: Some(
                read.failure_threshold.map_or(self.defaults.failure_threshold, |count| count.0),
            ),
            success_threshold: Some(
                read.success_threshold.map_or(self.defaults.success_threshold, |count| count.0),
            ),
            gates: Some(gates.into_iter().collect()),
            depends_on: read.depends_on,
            degraded_after: read.degraded_after.map(|period| period.0),
            objective: read.objective,
            labels: read.labels,
            propagate: Some(read.propagate.unwrap_or(true)),
            // Only a host has calls to observe.
            spare_when_observed: false,
        }
    }

    fn timing(
        &self,
        read: &CommonOptions,
        node: &Node,
        report: &mut Report,
    ) -> (Duration, Duration) {
        let own_interval = read.interval.map(|period| period.0);
        let own_timeout = read.timeout.map(|period| period.0);
        let interval = own_interval.unwrap_or(self.defaults.interval);
        if own_interval.is_some_and(|interval| interval < MIN_INTERVAL) {
            report.option(node, "interval", TOO_OFTEN);
        }
        let timeout = own_timeout.or(self.defaults.timeout).unwrap_or_else(|| {
            // The default gives way to a short interval; what was written does not.
            TIMEOUT.min(interval / 2)
        });
        if timeout >= interval {
            if own_timeout.is_some() {
                report.option(node, "timeout", too_long("timeout", "interval", interval));
            } else {
                let timeout = humantime::format_duration(timeout);
                let message = format!(
                    "not longer than the timeout of [defaults], {timeout}; write more, or a \
                     `timeout` for this check"
                );
                report.option(node, "interval", message);
            }
        } else if read.degraded_after.is_some_and(|limit| limit.0 >= timeout) {
            report.option(node, "degraded_after", too_long("limit", "timeout", timeout));
        }
        (interval, timeout)
    }
}

const TOO_OFTEN: &str = "too short an interval; write at least 1ms";

fn too_long(what: &str, than: &str, limit: Duration) -> String {
    let limit = humantime::format_duration(limit);
    format!("the {what} is not shorter than the {than}; write less than {limit}")
}

fn build(kind: Kind, own: &mut Node, report: &mut Report) -> Option<Arc<dyn Check>> {
    let parsed = all_errors(own, report, &kind.read)?;
    match parsed() {
        Ok(check) => Some(check),
        Err(errors) => {
            for error in errors.iter().filter(|error| !is_consequence(own, error)) {
                report.option(own, &error.path, error.message.as_str());
            }
            None
        }
    }
}

/// Whether an error only says that a value is missing which was reported already.
fn is_consequence(own: &Node, error: &OptionError) -> bool {
    let poisoned = |node: &Node| node.poisoned;
    let (found, rest) = own.locate(&error.path);
    let about = rest.is_empty() && found.any(&poisoned);
    let mentions = |node: &Node| {
        let key = node.path.rsplit('.').next().unwrap_or_default();
        node.poisoned && error.message.contains(&format!("`{key}`"))
    };
    about || found.poisoned || own.any(&mentions)
}

fn check_name(name: &str, key_at: super::tree::At, node: &Node, report: &mut Report) {
    if !has_name_form(name) {
        let message = format!(
            "not the name of a check; write 1 to {MAX_NAME} of a-z, 0-9, `_` and `-`, beginning \
             with a letter or digit"
        );
        report.error(key_at, node.path.clone(), message);
    } else if RESERVED_NAMES.contains(&name) {
        let message = "a reserved name; choose another, as /status/… already answers to it";
        report.error(key_at, node.path.clone(), message);
    }
}

fn label_name(label: &str, node: &Node, report: &mut Report) {
    let message = if !has_label_form(label) {
        "not a Prometheus label name; write letters, digits and `_`, not beginning with a digit"
    } else if is_reserved_label(label) {
        "a reserved label; choose another name"
    } else {
        return;
    };
    let entry = node.get("labels").and_then(|labels| labels.table()?.get(label));
    if let Some(entry) = entry {
        report.error(entry.key_at, entry.node.path.clone(), message);
    }
}
