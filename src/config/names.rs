//! What to say of a name that is not known.

/// The known name that was probably meant: one of few letters' difference, else one of which
/// `name` is the beginning.
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
    similar.or_else(|| known.into_iter().find(begun))
}

/// ``did you mean `x`?`` where one is near, else all that are known.
pub(super) fn advice(name: &str, known: &[&str], plural: &str) -> String {
    if let Some(meant) = nearest(name, known.iter().copied()) {
        return format!("did you mean `{meant}`?");
    }
    if known.is_empty() { format!("there are no {plural}") } else { list(plural, known) }
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
        assert_eq!(nearest("i", known), None);
        assert_eq!(nearest("x", known), None);
        assert_eq!(nearest("retries", known), None);
        assert_eq!(nearest("", known), None);
    }
}
