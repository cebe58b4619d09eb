//! Where the links of alerts lead.

use std::fmt;
use std::str::FromStr;

use super::catalogue::{AlertKind, Subject};

/// Where the dashboards are: Grafana's own default address.
pub const DASHBOARDS: &str = "http://localhost:3000";

/// An address that links begin with: `http://` or `https://` and a host, perhaps a path.
///
/// It is part of an annotation, so it may be a template: `http://{{ $labels.instance }}` leads to the
/// page of the instance that an alert is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkBase(String);

/// A text that links cannot begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an http or https address to begin links with, such as https://grafana.example.org")]
pub struct NotALinkBase;

impl fmt::Display for LinkBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LinkBase {
    type Err = NotALinkBase;

    fn from_str(text: &str) -> Result<Self, NotALinkBase> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        // Blanks belong within a template alone.
        let outside = text.split("{{").map(|part| part.rsplit("}}").next().unwrap_or(part));
        let plain = |c: char| !c.is_control() && !c.is_whitespace() && !"?#\"<>".contains(c);
        let good = rest.is_some_and(|rest| !rest.trim_matches('/').is_empty())
            && outside.into_iter().all(|part| part.chars().all(plain))
            && !text.chars().any(char::is_control)
            && text.matches("{{").count() == text.matches("}}").count();
        good.then(|| Self(text.trim_end_matches('/').to_owned())).ok_or(NotALinkBase)
    }
}

/// Where the links of alerts lead.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Links {
    /// Grafana; by default [`DASHBOARDS`].
    pub dashboards: Option<LinkBase>,
    /// The service's own page. Without it alerts have no link to the page, since Prometheus knows only
    /// the address that it scrapes.
    pub page: Option<LinkBase>,
}

impl Links {
    /// Links that begin with these.
    #[must_use]
    pub const fn new(dashboards: Option<LinkBase>, page: Option<LinkBase>) -> Self {
        Self { dashboards, page }
    }

    /// The options of `vitalsign rules` that stand for these.
    pub(super) fn options(&self) -> String {
        let of = |name: &str, base: &Option<LinkBase>| {
            base.as_ref().map(|base| format!(" --{name} \"{base}\"")).unwrap_or_default()
        };
        of("dashboard-url", &self.dashboards) + &of("page-url", &self.page)
    }

    /// The annotations of `kind` that are links.
    pub(super) fn annotations(&self, kind: &AlertKind) -> Vec<(&'static str, String)> {
        let mut links = vec![("dashboard_url", self.dashboard(kind))];
        let Some(page) = &self.page else { return links };
        match kind.subject {
            Subject::Job | Subject::Instance => links.push(("page_url", format!("{page}/"))),
            Subject::Check | Subject::CheckOfInstance => {
                // The name of a check is a part of a path as it is.
                let page = format!("{page}/checks/{{{{ $labels.check }}}}");
                links.push(("incident_url", format!("{page}#incidents")));
                links.push(("page_url", page));
            }
        }
        links
    }

    /// The link to the dashboard, with its variables set to what the alert is about.
    fn dashboard(&self, kind: &AlertKind) -> String {
        let variables: &[&str] = match kind.subject {
            Subject::Job => &["job"],
            Subject::Instance => &["job", "instance"],
            Subject::Check => &["job", "check"],
            Subject::CheckOfInstance => &["job", "instance", "check"],
        };
        let variables: Vec<String> = variables
            .iter()
            .map(|name| format!("var-{name}={{{{ $labels.{name} | urlquery }}}}"))
            .collect();
        let base = self.dashboards.as_ref().map_or(DASHBOARDS, |base| &base.0);
        format!("{base}/d/{}?{}", kind.dashboard, variables.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_begins_links_without_its_last_slash() {
        for (text, base) in [
            ("https://grafana.example.org", "https://grafana.example.org"),
            ("http://10.0.0.7:3000/", "http://10.0.0.7:3000"),
            ("https://ops.example.org/grafana/", "https://ops.example.org/grafana"),
            ("http://{{ $labels.instance }}", "http://{{ $labels.instance }}"),
        ] {
            assert_eq!(text.parse::<LinkBase>().map(|base| base.to_string()), Ok(base.to_owned()));
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "grafana.example.org",
            "ftp://grafana.example.org",
            "https://",
            "https:///",
            "https://graf ana.example.org",
            "https://grafana.example.org/?orgId=1",
            "https://grafana.example.org#top",
            "http://{{ $labels.instance",
            "http://a\nb",
        ] {
            assert_eq!(text.parse::<LinkBase>(), Err(NotALinkBase), "{text:?}");
        }
    }
}
