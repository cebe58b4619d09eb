//! What a request to `/heartbeat/{check}` reports: from its path, its query and its body.
//!
//! Jobs report in the form that their tools know, so each place may say that the job failed:
//!
//! - the path: `/start`, `/fail`, an exit code, `/log`;
//! - the query: `?status=fail`, `?success=false`, `?error=a text`;
//! - a body that is a form or a JSON object with these keys.
//!
//! A query that says neither success nor failure is refused, for whoever wrote it meant something. A
//! body is the job's own text, so what is not understood there is a message.

use std::borrow::Cow;

use crate::engine::check::Signal;

/// Values of `status` that mean success.
const WELL: [&str; 7] = ["success", "ok", "up", "pass", "passed", "complete", "completed"];
/// Values of `status` that mean failure.
const FAILED: [&str; 8] =
    ["fail", "failed", "failure", "error", "down", "critical", "crash", "crashed"];

/// A report.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) signal: Signal,
    pub(super) message: String,
}

/// What the end of the path says; `None` for one that there is not.
pub(super) fn signal(path: &str) -> Option<Signal> {
    match path {
        "start" => Some(Signal::Start),
        "fail" => Some(Signal::Fail),
        "log" => Some(Signal::Log),
        // No sign, and no more digits than a number has.
        _ if path.bytes().all(|b| b.is_ascii_digit())
            && (path == "0" || !path.starts_with('0')) =>
        {
            match path.parse().ok()? {
                0 => Some(Signal::Success),
                code => Some(Signal::Exit(code)),
            }
        }
        _ => None,
    }
}

/// What keys and values say.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    failed: bool,
    error: Option<String>,
    message: Option<String>,
    /// The key whose value says neither.
    unclear: Option<&'static str>,
    /// A key that means nothing here.
    unknown: bool,
}

impl Said {
    fn note(&mut self, key: &str, value: &str) {
        let word = value.trim().to_ascii_lowercase();
        let word = word.as_str();
        match key {
            "status" if FAILED.contains(&word) => self.failed = true,
            "success" if ["false", "0", "no"].contains(&word) => self.failed = true,
            "status" if WELL.contains(&word) => {}
            "success" if ["true", "1", "yes"].contains(&word) => {}
            "status" => self.unclear = Some("status"),
            "success" => self.unclear = Some("success"),
            "error" if word.is_empty() => {}
            "error" => {
                self.failed = true;
                self.error = Some(value.to_owned());
            }
            "message" | "msg" => self.message = Some(value.to_owned()),
            _ => self.unknown = true,
        }
    }

    fn of<'t>(pairs: impl IntoIterator<Item = (Cow<'t, str>, Cow<'t, str>)>) -> Self {
        let mut said = Self::default();
        pairs.into_iter().for_each(|(key, value)| said.note(&key, &value));
        said
    }

    /// The text for people.
    fn text(self) -> Option<String> {
        self.error.or(self.message)
    }
}

/// What the query says, once it is known that it can be understood.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked(Said);

impl Asked {
    /// # Errors
    /// The name of a parameter that says neither success nor failure.
    pub(super) fn of(query: &str) -> Result<Self, &'static str> {
        let said = Said::of(form_urlencoded::parse(query.as_bytes()));
        said.unclear.map_or(Ok(Self(said)), Err)
    }

    /// The report, with what the path and a body of this type say.
    pub(super) fn report(self, path: Signal, body: &str, content_type: &str) -> Report {
        let body_said = said_by(body, content_type);
        let (query, body_failed) = (self.0, body_said.as_ref().is_some_and(|said| said.failed));
        let signal = match path {
            Signal::Success if query.failed || body_failed => Signal::Fail,
            path => path,
        };
        let text = query.text().or_else(|| body_said.and_then(Said::text));
        Report { signal, message: text.unwrap_or_else(|| body.to_owned()) }
    }
}

/// What a form or a JSON object says, if the body is one.
fn said_by(body: &str, content_type: &str) -> Option<Said> {
    let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if media == "application/json" || media.ends_with("+json") {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(body).ok()?;
        let text = |value: serde_json::Value| match value {
            serde_json::Value::String(text) => Some(text),
            serde_json::Value::Bool(value) => Some(value.to_string()),
            serde_json::Value::Number(value) => Some(value.to_string()),
            _ => None,
        };
        let pairs =
            object.into_iter().filter_map(|(key, value)| Some((key.into(), text(value)?.into())));
        return Some(Said::of(pairs));
    }
    if media == "application/x-www-form-urlencoded" {
        // `curl --data` says this of whatever it sends, a log too.
        let said = Said::of(form_urlencoded::parse(body.as_bytes()));
        return (!said.unknown).then_some(said);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "application/x-www-form-urlencoded";
    const JSON: &str = "application/json; charset=utf-8";

    fn report(query: &str, body: &str, content_type: &str) -> (Signal, String) {
        let asked = Asked::of(query).expect(query);
        let report = asked.report(Signal::Success, body, content_type);
        (report.signal, report.message)
    }

    #[test]
    fn the_end_of_the_path_is_a_signal_or_there_is_none() {
        for (path, wanted) in [
            ("start", Some(Signal::Start)),
            ("fail", Some(Signal::Fail)),
            ("log", Some(Signal::Log)),
            ("0", Some(Signal::Success)),
            ("1", Some(Signal::Exit(1))),
            ("255", Some(Signal::Exit(255))),
        ] {
            assert_eq!(signal(path), wanted, "{path}");
        }
        for path in ["", "256", "-1", "+1", "01", "00", "1.0", "Start", "starts", "٣"] {
            assert_eq!(signal(path), None, "{path}");
        }
    }

    #[test]
    fn a_query_may_say_that_it_failed() {
        for query in ["status=fail", "status=FAILED", "success=false", "success=0", "status=down"] {
            assert_eq!(report(query, "", "").0, Signal::Fail, "{query}");
        }
        for query in ["", "status=ok", "success=true", "error=", "token=fail", "state=failed"] {
            assert_eq!(report(query, "", "").0, Signal::Success, "{query}");
        }
        let (signal, message) = report("error=disk%20full", "log", "");
        assert_eq!((signal, message.as_str()), (Signal::Fail, "disk full"));
        assert_eq!(report("status=down&msg=slow", "", "").1, "slow");
        for (query, key) in
            [("status=maybe", "status"), ("success=", "success"), ("status", "status")]
        {
            assert_eq!(Asked::of(query), Err(key), "{query}");
        }
    }

    #[test]
    fn a_body_may_say_so_too_where_it_is_a_form_or_an_object() {
        for (body, content_type, wanted, message) in [
            ("status=fail", FORM, Signal::Fail, "status=fail"),
            ("success=false&error=disk+full", FORM, Signal::Fail, "disk full"),
            (r#"{"success": false}"#, JSON, Signal::Fail, r#"{"success": false}"#),
            (r#"{"status":"failed","message":"3 lost"}"#, JSON, Signal::Fail, "3 lost"),
            (r#"{"error":"disk full","code":5}"#, JSON, Signal::Fail, "disk full"),
            (
                r#"{"error":null,"status":"ok"}"#,
                JSON,
                Signal::Success,
                r#"{"error":null,"status":"ok"}"#,
            ),
            // A log that happens to have such a line.
            ("files=3&status=fail", FORM, Signal::Success, "files=3&status=fail"),
            ("status=fail", "text/plain", Signal::Success, "status=fail"),
            (r#"["status", "fail"]"#, JSON, Signal::Success, r#"["status", "fail"]"#),
            ("3 files copied", FORM, Signal::Success, "3 files copied"),
            ("status=unclear", FORM, Signal::Success, "status=unclear"),
        ] {
            assert_eq!(report("", body, content_type), (wanted, message.to_owned()), "{body}");
        }
    }

    #[test]
    fn what_the_path_says_holds() {
        let of = |path| Asked::of("error=late").expect("a query").report(path, "", "");
        for path in [Signal::Start, Signal::Log, Signal::Fail, Signal::Exit(3)] {
            let wanted = Report { signal: path, message: "late".to_owned() };
            assert_eq!(of(path), wanted);
        }
    }
}
