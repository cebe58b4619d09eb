//! Reads one check of a configuration: its common options, and those of its kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::{JsonSchema as _, SchemaGenerator};
use serde_json::{Map, Value as Json};
use sha2::{Digest as _, Sha256};

use super::common_options::{CommonOptions, Defaults};
use super::diagnostics::Report;
use super::kind::{Kind, OptionError, read_options};
use super::names;
use super::prepare::{Prepare, SchemaRef};
use super::read::all_errors;
use super::tree::{Entry, Node, Value};
use crate::engine::check::{Check, Declared, MAX_NAME, RESERVED_NAMES, has_name_form};

/// The schemas of the kinds and of the common options.
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
pub(super) struct PartialCheck {
    pub(super) name: String,
    pub(super) enabled: bool,
    pub(super) depends_on: Vec<String>,
    pub(super) groups: Vec<String>,
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
    pub(super) fn read(&self, name: &str, entry: Entry, prepare: &mut Prepare<'_>) -> PartialCheck {
        let mut node = entry.node;
        check_name(name, entry.key_at, &node, prepare.report);
        let mut draft = PartialCheck {
            name: name.to_owned(),
            enabled: true,
            depends_on: Vec::new(),
            groups: Vec::new(),
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

        self.rename_kind(&mut common, &mut own, prepare.report);
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
        if let Some(caveat) = check.as_ref().and_then(Check::caveat) {
            let (found, _) = common.locate("kind");
            prepare.report.warning(found.at, found.path.clone(), caveat);
        }
        if let Some(read) = all_errors(&mut common, prepare.report, &read_options::<CommonOptions>)
        {
            draft.enabled = read.enabled.unwrap_or(true);
            draft.depends_on.clone_from(&read.depends_on);
            draft.groups.clone_from(&read.groups);
            let options = self.defaults.options(read, &common, prepare.report);
            // The digest includes the effective defaults: a default that this check overrides does
            // not change it.
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

    /// Uses the value of `type`, as other tools call it, or of a misspelt `kind` as the kind, so
    /// that the other options are read. The error is still reported.
    fn rename_kind(&self, common: &mut Node, own: &mut Node, report: &mut Report) {
        let (Some(known), Some(others)) = (common.table_mut(), own.table_mut()) else { return };
        let holds_kind = |entry: &Entry| {
            entry.node.text().is_some_and(|text| self.kinds.iter().any(|kind| kind.name == text))
        };
        if known.contains_key("kind") {
            return;
        }
        let misnamed = |(key, entry): &(&String, &Entry)| {
            names::option(key, &["kind"]).0.is_some() && holds_kind(entry)
        };
        let Some(key) = others.iter().find(misnamed).map(|(key, _)| key.clone()) else { return };
        let Some(mut entry) = others.remove(&key) else { return };
        let message = "unknown option; did you mean `kind`?";
        report.error(entry.key_at, entry.node.path.clone(), message);
        entry.node.poisoned = true;
        known.insert("kind".to_owned(), entry);
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
}

fn build(kind: Kind, own: &mut Node, report: &mut Report) -> Option<Arc<dyn Check>> {
    let parsed = all_errors(own, report, &kind.read)?;
    match parsed() {
        Ok(check) => {
            for warning in (kind.warnings)(own.to_toml()) {
                let (found, _) = own.locate(&warning.path);
                report.warning(found.at, found.path.clone(), warning.message);
            }
            Some(check)
        }
        Err(mut errors) => {
            let reported = report.options_of(own);
            errors.retain(|error| !is_consequence(own, &reported, error));
            for error in &errors {
                report.option(own, &error.path, error.message.as_str());
            }
            None
        }
    }
}

/// Whether an error is only a consequence of one that was reported already: the kind got a default,
/// or nothing, instead of the value. `reported` lists these options.
fn is_consequence(own: &Node, reported: &[String], error: &OptionError) -> bool {
    let poisoned = |node: &Node| node.poisoned;
    let (found, rest) = own.locate(&error.path);
    let about = rest.is_empty() && found.any(&poisoned);
    let mentions = |node: &Node| {
        let key = node.path.rsplit('.').next().unwrap_or_default();
        node.poisoned && error.message.contains(&format!("`{key}`"))
    };
    let names_reported = || reported.iter().any(|key| error.message.contains(&format!("`{key}`")));
    about || found.poisoned || own.any(&mentions) || names_reported()
}

fn check_name(name: &str, key_at: super::tree::Position, node: &Node, report: &mut Report) {
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
