//! Suggestions for names that are not known.

/// The known name that was probably meant: one that differs in few letters, else one that begins
/// with `name`, else one that `name` begins with.
pub(super) fn nearest<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let similar = known
        .clone()
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&lower, candidate), candidate))
        .filter(|(distance, candidate)| {
            let shorter = name.chars().count().min(candidate.chars().count());
            *distance <= (shorter / 3).max(1) && *distance < shorter
        })
        .min()
        .map(|(_, candidate)| candidate);
    let begun = |candidate: &&str| lower.len() >= 3 && candidate.starts_with(&lower);
    let longer =
        |candidate: &&str| candidate.len() >= 3 && lower.starts_with(&candidate.to_lowercase());
    similar
        .or_else(|| known.clone().into_iter().find(begun))
        .or_else(|| known.into_iter().find(longer))
}

/// ``did you mean `x`?`` where one is near, else all that are known.
pub(super) fn advice(name: &str, known: &[&str], plural: &str) -> String {
    if let Some(meant) = nearest(name, known.iter().copied()) {
        return format!("did you mean `{meant}`?");
    }
    if known.is_empty() { format!("there are no {plural}") } else { list(plural, known) }
}

/// Names of options in other tools, and those of vitalsign: the first one that exists is suggested.
const ELSEWHERE: [(&str, &[&str]); 13] = [
    ("type", &["kind"]),
    ("host", &["address", "url"]),
    ("hostname", &["address", "url", "host"]),
    ("port", &["address", "url"]),
    ("endpoint", &["url", "address", "host"]),
    ("target", &["url", "address", "host"]),
    ("uri", &["url"]),
    ("dsn", &["url"]),
    ("schedule", &["interval"]),
    ("every", &["interval"]),
    ("period", &["interval"]),
    ("frequency", &["interval"]),
    ("cmd", &["program"]),
];

/// The option that `name` was probably meant for, and the advice to print.
pub(super) fn option<'a>(name: &str, known: &[&'a str]) -> (Option<&'a str>, String) {
    let elsewhere = ELSEWHERE.iter().find(|(other, _)| *other == name);
    let ours = elsewhere.and_then(|(_, ours)| {
        ours.iter().find_map(|ours| known.iter().find(|known| *known == ours)).copied()
    });
    match (ours, name) {
        (Some("address"), "host" | "hostname" | "port") => {
            (ours, "write both as `address = \"host:port\"`".to_owned())
        }
        (Some("url"), "host" | "hostname" | "port") => (ours, "it is a part of `url`".to_owned()),
        (Some(meant), _) => (ours, format!("did you mean `{meant}`?")),
        (None, _) => (nearest(name, known.iter().copied()), advice(name, known, "options")),
    }
}

/// ``the options are `a`, `b` ``.
pub(super) fn list(plural: &str, known: &[&str]) -> String {
    let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    format!("the {plural} are {}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_keys_is_recognised() {
        let known = ["interval", "timeout", "gates", "url"];
        assert_eq!(nearest("intervall", known), Some("interval"));
        assert_eq!(nearest("tiemout", known), Some("timeout"));
        assert_eq!(nearest("Gates", known), Some("gates"));
        assert_eq!(nearest("uri", known), Some("url"));
        assert_eq!(nearest("inter", known), Some("interval"));
        assert_eq!(nearest("url_of_it", known), Some("url"));
        assert_eq!(nearest("Saturday", ["Mon", "Sat", "Sun"]), Some("Sat"));
        assert_eq!(nearest("SUN", ["Mon", "Sat", "Sun"]), Some("Sun"));
        assert_eq!(nearest("i", known), None);
        assert_eq!(nearest("x", known), None);
        assert_eq!(nearest("retries", known), None);
        assert_eq!(nearest("", known), None);
    }

    #[test]
    fn the_options_of_other_tools_are_recognised() {
        let (tcp, http) = (["address", "interval", "kind", "tls"], ["interval", "kind", "url"]);
        for (name, known, meant, advice) in [
            ("type", &tcp[..], "kind", "did you mean `kind`?"),
            ("host", &tcp, "address", "write both as `address = \"host:port\"`"),
            ("port", &tcp, "address", "write both as `address = \"host:port\"`"),
            ("host", &http, "url", "it is a part of `url`"),
            ("endpoint", &http, "url", "did you mean `url`?"),
            ("endpoint", &tcp, "address", "did you mean `address`?"),
            ("schedule", &http, "interval", "did you mean `interval`?"),
        ] {
            assert_eq!(option(name, known), (Some(meant), advice.to_owned()), "{name}");
        }
        let (meant, advice) = option("schedule", &["grace"]);
        assert_eq!((meant, advice.as_str()), (None, "the options are `grace`"));
    }
}
