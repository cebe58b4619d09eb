//! Loads files into a [`Loaded`] configuration: reads its parts in order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::address::Listen;
use super::checks::{CheckReader, PartialCheck, Schemas};
use super::common_options::Defaults;
use super::diagnostics::{ConfigError, Report};
use super::expand::Environment;
use super::kind::Kind;
use super::loaded::{Attempt, Loaded, NamedCheck};
use super::prepare::Prepare;
use super::sections::{
    AlertmanagerSection, DefaultsSection, HistorySection, IncludeSection, MaintenanceSection,
    ServerSection, ServiceSection, TelemetrySection,
};
use super::settings::{Alertmanager, History, Server, Service, Settings, Telemetry};
use super::tree::{Entry, Node, Position, Source, Table, Value};
use super::watch::{self, Contents, Watch};
use super::{depends, groups, names, parse, read, rules, windows};
use crate::engine::Window;

const SECTIONS: [&str; 9] = [
    "service",
    "server",
    "defaults",
    "checks",
    "maintenance",
    "history",
    "telemetry",
    "alertmanager",
    "include",
];

/// A configuration while it is loaded.
pub(super) struct Loading<'a> {
    kinds: &'static [Kind],
    environment: &'a Environment,
    /// Where the command line says to listen.
    listen: Option<Listen>,
    sources: Vec<Source>,
    report: Report,
    files: Contents,
    patterns: Vec<String>,
}

impl<'a> Loading<'a> {
    pub(super) fn new(
        kinds: &'static [Kind],
        environment: &'a Environment,
        listen: Option<Listen>,
    ) -> Self {
        Self {
            kinds,
            environment,
            listen,
            sources: Vec::new(),
            report: Report::default(),
            files: Contents::default(),
            patterns: Vec::new(),
        }
    }

    /// Reads the main file.
    pub(super) fn file(mut self, path: &Path) -> Attempt {
        let text = match self.text_of(path) {
            Ok(text) => text,
            Err(error) => return Attempt { result: Err(error), watch: self.watch() },
        };
        let root = self.parse(path.display().to_string(), &absolute(path), &text);
        self.finish(root, path.parent().unwrap_or(Path::new("")), is_blank(&text))
    }

    /// Reads a text that is not in a file; its relative paths start from the working directory.
    pub(super) fn text(mut self, name: &str, text: &str) -> Attempt {
        let root = self.parse(name.to_owned(), &absolute(Path::new(name)), text);
        self.finish(root, Path::new(""), is_blank(text))
    }

    fn text_of(&mut self, path: &Path) -> Result<String, ConfigError> {
        let bytes = std::fs::read(path).map_err(|source| {
            self.files.missed(&absolute(path));
            ConfigError::Unreadable { path: path.to_owned(), source }
        })?;
        self.files.saw(&absolute(path), &bytes);
        String::from_utf8(bytes).map_err(|_| ConfigError::NotUtf8 { path: path.to_owned() })
    }

    fn watch(&mut self) -> Watch {
        let read = std::mem::take(&mut self.files);
        Watch { read, patterns: std::mem::take(&mut self.patterns) }
    }

    fn parse(&mut self, name: String, path: &Path, text: &str) -> Table {
        let base = path.parent().unwrap_or(Path::new("/")).to_owned();
        let source = Source::new(name, base, text);
        let file = self.sources.len();
        let root = parse::parse(file, &source, self.environment, &mut self.report);
        self.sources.push(source);
        match root.value {
            Value::Table(table) => table,
            _ => Table::new(),
        }
    }

    fn finish(mut self, root: Table, folder: &Path, blank: bool) -> Attempt {
        let (settings, checks, disabled) = self.sections(root, folder);
        let watch = self.watch();
        let external = std::mem::take(&mut self.report.external).into_iter().collect();
        let files = self.sources.iter().map(|source| source.name.clone()).collect();
        let result = self.report.finish(&self.sources).and_then(|warnings| {
            // Without an error every section was read.
            let settings = settings.ok_or_else(|| ConfigError::Invalid(Vec::new()))?;
            let watch = watch.clone();
            Ok(Loaded { settings, checks, disabled, warnings, files, external, watch, blank })
        });
        Attempt { result, watch }
    }

    fn sections(
        &mut self,
        mut root: Table,
        folder: &Path,
    ) -> (Option<Settings>, Vec<NamedCheck>, Vec<String>) {
        self.unknown_sections(&root);
        let mut checks = BTreeMap::new();
        self.take_checks(&mut root, &mut checks);
        self.include(&mut root, folder, &mut checks);

        let (defaults, node) = self.section::<DefaultsSection>(&mut root, "defaults");
        let defaults = Defaults::of(defaults.unwrap_or_default(), &node, &mut self.report);
        let drafts = self.read_checks(checks, defaults);
        depends::check(&drafts, &mut self.report);
        groups::check(&drafts, &mut self.report);

        let windows = self.windows(&mut root, &drafts);
        let settings = self.settings(&mut root, windows);
        let (checks, disabled) = finished(drafts);
        if checks.is_empty() {
            let start = Position { file: 0, offset: 0 };
            let message = "no check is declared; the service is up without asking anything";
            self.report.warning(start, "checks", message);
        }
        (settings, checks, disabled)
    }

    fn unknown_sections(&mut self, root: &Table) {
        for (key, entry) in root.iter().filter(|(key, _)| !SECTIONS.contains(&key.as_str())) {
            let advice = names::section(key, &SECTIONS);
            let message = format!("unknown section; {advice}");
            self.report.error(entry.key_at, entry.node.path.clone(), message);
        }
    }

    fn take_checks(&mut self, root: &mut Table, checks: &mut BTreeMap<String, Entry>) {
        let Some(section) = root.remove("checks") else { return };
        let Value::Table(table) = section.node.value else {
            let message = "no table of checks; write each as [checks.NAME]";
            self.report.option(&section.node, "", message);
            return;
        };
        for (name, entry) in table {
            if let Some(first) = checks.get(&name) {
                let at = first.key_at;
                let place = self.sources.get(at.file).map_or_else(String::new, |source| {
                    let (line, column) = source.position(at);
                    format!(" at {}:{line}:{column}", source.name)
                });
                let message =
                    format!("declared twice, first{place}; give each check a name of its own");
                self.report.error(entry.key_at, entry.node.path.clone(), message);
            } else {
                checks.insert(name, entry);
            }
        }
    }

    fn include(&mut self, root: &mut Table, folder: &Path, checks: &mut BTreeMap<String, Entry>) {
        let (section, node) = self.section::<IncludeSection>(root, "include");
        let Some(section) = section else { return };
        rules::include(&section, &node, &mut self.report);
        let mut included = BTreeSet::new();
        for (index, name) in section.files.iter().enumerate() {
            let (place, _) = node.locate(&format!("files[{index}]"));
            if place.poisoned {
                continue;
            }
            match self.included_by(name, folder) {
                Ok(paths) => included.extend(paths.into_iter().map(|path| (path, index))),
                Err(message) => self.report.option(&node, &format!("files[{index}]"), message),
            }
        }
        for (path, index) in included {
            // A pattern may match files that another pattern matched, or the file in which it is
            // written.
            if !self.files.contains(&absolute(&path)) {
                self.included_file(&path, &node, index, checks);
            }
        }
    }

    fn included_by(&mut self, name: &str, folder: &Path) -> Result<Vec<PathBuf>, String> {
        if !watch::is_pattern(name) {
            return Ok(vec![folder.join(name)]);
        }
        glob::Pattern::new(name).map_err(|error| {
            format!("no pattern: {}; write one such as \"conf.d/*.toml\"", error.msg)
        })?;
        let unusable = || "the folder of this file is not UTF-8; write an absolute path".to_owned();
        let watched = watch::pattern_in(&absolute(folder), name).ok_or_else(unusable)?;
        self.patterns.push(watched);
        let pattern = watch::pattern_in(folder, name).ok_or_else(unusable)?;
        Ok(watch::matches(&pattern))
    }

    fn included_file(
        &mut self,
        path: &Path,
        include: &Node,
        index: usize,
        checks: &mut BTreeMap<String, Entry>,
    ) {
        let text = match self.text_of(path) {
            Ok(text) => text,
            Err(error) => {
                let message = match error {
                    ConfigError::Unreadable { source, .. } => {
                        format!("cannot read `{}`: {source}; name a readable file", path.display())
                    }
                    _ => format!("`{}` is not UTF-8; write it as UTF-8 text", path.display()),
                };
                return self.report.option(include, &format!("files[{index}]"), message);
            }
        };
        let mut root = self.parse(path.display().to_string(), &absolute(path), &text);
        self.take_checks(&mut root, checks);
        for entry in root.values() {
            let message = "not allowed in an included file; it may hold [checks.NAME] only";
            self.report.error(entry.key_at, entry.node.path.clone(), message);
        }
    }

    fn read_checks(
        &mut self,
        checks: BTreeMap<String, Entry>,
        defaults: Defaults,
    ) -> Vec<PartialCheck> {
        let schemas = Schemas::of(self.kinds);
        let reader = CheckReader { kinds: self.kinds, schemas: &schemas, defaults };
        let mut prepare = self.prepare();
        checks.into_iter().map(|(name, entry)| reader.read(&name, entry, &mut prepare)).collect()
    }

    fn settings(&mut self, root: &mut Table, maintenance: Vec<Window>) -> Option<Settings> {
        let flag = self.listen;
        let (service, node) = self.section::<ServiceSection>(root, "service");
        if let Some(service) = &service {
            rules::service(service, &node, &mut self.report);
        }
        let (server, node) = self.section::<ServerSection>(root, "server");
        if let Some(server) = &server {
            rules::server(server, flag, &node, &mut self.report);
        }
        let tls = node.get("tls").map(Node::digest);
        let (telemetry, node) = self.section::<TelemetrySection>(root, "telemetry");
        if let Some(telemetry) = &telemetry {
            rules::telemetry(telemetry, &node, &mut self.report);
        }
        let alertmanager = self.alertmanager(root);
        let (history, node) = self.section::<HistorySection>(root, "history");
        if let Some(history) = &history {
            rules::history(history, &node, &mut self.report);
        }
        let folder = node.get("url").and_then(|url| self.sources.get(url.at.file));
        let history = history.map(|section| History::of(section, folder.map(|file| &*file.base)));
        let name = self.environment.non_empty("OTEL_SERVICE_NAME");
        Some(Settings {
            service: Service::of(service?, name),
            server: Server::of(server?, flag, tls),
            history: history?,
            telemetry: Telemetry::of(telemetry?),
            maintenance,
            alertmanager,
        })
    }

    /// Without the section no alerts are sent; with it, `urls` is required.
    fn alertmanager(&mut self, root: &mut Table) -> Option<Alertmanager> {
        if !root.contains_key("alertmanager") {
            return None;
        }
        let (section, node) = self.section::<AlertmanagerSection>(root, "alertmanager");
        let section = section?;
        rules::alertmanager(&section, &node, &mut self.report);
        Some(Alertmanager::of(section))
    }

    /// Reads the maintenance windows; their names are those of checks, enabled or not.
    fn windows(&mut self, root: &mut Table, drafts: &[PartialCheck]) -> Vec<Window> {
        let Some(list) = root.remove("maintenance") else { return Vec::new() };
        let known: Vec<&str> = drafts.iter().map(|draft| draft.name.as_str()).collect();
        let Value::Array(list) = list.node.value else {
            let message = "no list of windows; write each as [[maintenance]]";
            self.report.option(&list.node, "", message);
            return Vec::new();
        };
        let mut read = |mut node: Node| {
            let section = read::section::<MaintenanceSection>(&mut node, &mut self.prepare())?;
            windows::window(&section, &known, &node, &mut self.report)
        };
        list.into_iter().filter_map(&mut read).collect()
    }

    /// Takes a section out of the file and reads it; one that is not there is empty.
    fn section<T>(&mut self, root: &mut Table, name: &str) -> (Option<T>, Node)
    where
        T: serde::de::DeserializeOwned + schemars::JsonSchema,
    {
        let start = Position { file: 0, offset: 0 };
        let mut node = root.remove(name).map_or_else(|| Node::empty(start, name), |e| e.node);
        let section = read::section(&mut node, &mut self.prepare());
        (section, node)
    }

    fn prepare(&mut self) -> Prepare<'_> {
        Prepare {
            environment: self.environment,
            sources: &self.sources,
            report: &mut self.report,
            files: &mut self.files,
        }
    }
}

/// The enabled checks, and the names of the others. A dependency on a disabled check is dropped,
/// because that check is never down.
fn finished(drafts: Vec<PartialCheck>) -> (Vec<NamedCheck>, Vec<String>) {
    let (enabled, disabled): (Vec<PartialCheck>, Vec<PartialCheck>) =
        drafts.into_iter().partition(|draft| draft.enabled);
    let disabled: Vec<String> = disabled.into_iter().map(|draft| draft.name).collect();
    let checks = enabled
        .into_iter()
        .filter_map(|draft| {
            let mut declared = draft.declared?;
            declared.options.depends_on.retain(|name| !disabled.contains(name));
            Some(NamedCheck { name: draft.name, declared })
        })
        .collect();
    (checks, disabled)
}

/// Whether a file holds only white space and comments.
fn is_blank(text: &str) -> bool {
    let says_nothing = |line: &str| line.is_empty() || line.starts_with('#');
    text.trim_start_matches('\u{feff}').lines().all(|line| says_nothing(line.trim()))
}

/// The absolute path. Without a working directory the path stays as it is.
fn absolute(path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() {
        return std::env::current_dir().unwrap_or_default();
    }
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
