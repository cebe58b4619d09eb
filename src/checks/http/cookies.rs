//! The cookies of one run: those that are configured, and those that answers set (RFC 6265).
//!
//! # Lifetime
//! A run begins with the configured cookies and forgets everything at its end. No cookie of one run
//! is seen by another.
//!
//! # Where they are sent
//! A cookie that an answer sets is sent according to RFC 6265: to its host or its domain, below its
//! path, and only over TLS if it is `Secure`. A configured cookie is a secret of the check: like a
//! configured header, it is sent only to the configured scheme, host and port.

use hyper::header::{HeaderMap, HeaderValue, SET_COOKIE};
use jiff::Timestamp;
use jiff::civil::DateTime;

use crate::net::http1::sensitive;
use crate::net::{Host, Target};

/// The cookies that a run has so far.
#[derive(Debug, Default)]
pub(super) struct Jar {
    cookies: Vec<Cookie>,
}

#[derive(Debug)]
struct Cookie {
    /// `name=value`, and how long the name is.
    pair: String,
    name: usize,
    domain: Domain,
    path: String,
    secure: bool,
}

/// Which hosts a cookie is sent to.
#[derive(Debug, PartialEq, Eq)]
enum Domain {
    /// The one that set it.
    Host(Host),
    /// All whose name is this, or ends with a dot and this.
    Suffix(String),
}

impl Cookie {
    fn same_place(&self, other: &Self) -> bool {
        let name = |cookie: &Self| cookie.pair.as_bytes()[..cookie.name].to_vec();
        name(self) == name(other) && self.domain == other.domain && self.path == other.path
    }

    fn goes_to(&self, target: &Target) -> bool {
        let host = target.endpoint().host();
        let domain = match &self.domain {
            Domain::Host(own) => own == host,
            Domain::Suffix(suffix) => within(host, suffix),
        };
        domain
            && path_matches(target.uri().path(), &self.path)
            && (target.is_secure() || !self.secure)
    }
}

impl Jar {
    /// Stores the cookies that an answer of `from` with these headers sets, and removes those that
    /// it expires.
    pub(super) fn store(&mut self, from: &Target, headers: &HeaderMap) {
        for value in headers.get_all(SET_COOKIE) {
            let Some((cookie, expired)) = read(from, value) else { continue };
            let known = self.cookies.iter().position(|known| known.same_place(&cookie));
            match (known, expired) {
                (Some(known), false) => self.cookies[known] = cookie,
                (Some(known), true) => drop(self.cookies.remove(known)),
                (None, false) => self.cookies.push(cookie),
                (None, true) => {}
            }
        }
    }

    /// The header `Cookie` of a request to `target`: the `configured` pairs for this target, except
    /// those that an answer has replaced, and the cookies that answers have set.
    pub(super) fn header(
        &self,
        target: &Target,
        configured: Option<&HeaderValue>,
    ) -> Option<HeaderValue> {
        let mut set: Vec<_> = self.cookies.iter().filter(|cookie| cookie.goes_to(target)).collect();
        if set.is_empty() {
            return configured.cloned();
        }
        // Section 5.4: longer paths first, and otherwise in the order in which they came.
        set.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let configured = configured.and_then(|pairs| pairs.to_str().ok()).unwrap_or_default();
        let name = |pair: &str| pair.split('=').next().unwrap_or_default().trim().to_owned();
        let kept = configured.split(';').map(str::trim).filter(|pair| !pair.is_empty());
        let kept = kept.filter(|pair| !set.iter().any(|cookie| name(&cookie.pair) == name(pair)));
        let pairs: Vec<&str> = kept.chain(set.iter().map(|cookie| &*cookie.pair)).collect();
        sensitive(&pairs.join("; "))
    }
}

/// Reads a `Set-Cookie` of an answer of `from` (section 5.2), and whether it has expired; `None` if
/// it must be ignored.
fn read(from: &Target, value: &HeaderValue) -> Option<(Cookie, bool)> {
    let text = String::from_utf8_lossy(value.as_bytes());
    // A replaced control character: such a cookie is ignored, as by browsers and curl.
    if text.contains(char::REPLACEMENT_CHARACTER) {
        return None;
    }
    let mut parts = text.split(';').map(str::trim);
    let (name, value) = parts.next()?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() {
        return None;
    }
    let host = from.endpoint().host();
    let mut cookie = Cookie {
        pair: format!("{name}={value}"),
        name: name.len(),
        domain: Domain::Host(host.clone()),
        path: default_path(from.uri().path()).to_owned(),
        secure: false,
    };
    let (mut expires, mut max_age) = (None, None);
    for part in parts {
        let (attribute, value) = part.split_once('=').unwrap_or((part, ""));
        let value = value.trim();
        match attribute.trim().to_ascii_lowercase().as_str() {
            "expires" => expires = date(value).or(expires),
            "max-age" => max_age = seconds(value).or(max_age),
            "domain" => cookie.domain = domain(host, value)?,
            "path" if value.starts_with('/') => value.clone_into(&mut cookie.path),
            "secure" => cookie.secure = true,
            _ => {}
        }
    }
    let is_over = match (max_age, expires) {
        (Some(seconds), _) => seconds <= 0,
        (None, Some(end)) => end <= Timestamp::now(),
        (None, None) => false,
    };
    // A `Secure` cookie can only be set over TLS.
    (from.is_secure() || !cookie.secure).then_some((cookie, is_over))
}

/// The domain of a cookie that `host` sets for `text`; `None` if it may not, and the cookie must be
/// ignored.
fn domain(host: &Host, text: &str) -> Option<Domain> {
    let text = text.strip_prefix('.').unwrap_or(text).to_ascii_lowercase();
    let own = || Some(Domain::Host(host.clone()));
    match host {
        _ if text.is_empty() => own(),
        Host::Ip(ip) => (ip.to_string() == text).then(own)?,
        Host::Name(name) if *name == text => Some(Domain::Suffix(text)),
        // A name without a dot belongs to a registry, not to one host.
        Host::Name(_) => {
            (text.contains('.') && within(host, &text)).then_some(Domain::Suffix(text))
        }
    }
}

/// Whether `host` is `suffix` or a name below it (section 5.1.3).
fn within(host: &Host, suffix: &str) -> bool {
    match host {
        Host::Ip(_) => false,
        Host::Name(name) => {
            let above = name.strip_suffix(suffix);
            above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
        }
    }
}

/// The path of a cookie that names none (section 5.1.4).
fn default_path(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(last) => &path[..last],
    }
}

fn path_matches(path: &str, of_cookie: &str) -> bool {
    path.strip_prefix(of_cookie)
        .is_some_and(|rest| rest.is_empty() || of_cookie.ends_with('/') || rest.starts_with('/'))
}

/// `Max-Age` in seconds; `None` if it is not a number.
fn seconds(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    number.then(|| text.parse().unwrap_or(if digits == text { i64::MAX } else { i64::MIN }))
}

/// A date as servers write it, in whatever order and with whatever marks between (section 5.1.1).
fn date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    let tokens = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == ':'));
    for token in tokens.filter(|token| !token.is_empty()) {
        let digits = token.bytes().take_while(u8::is_ascii_digit).count();
        let number = token[..digits].parse::<i16>().ok();
        let name = token.get(..3).map(str::to_ascii_lowercase);
        let named = MONTHS.iter().position(|month| Some(*month) == name.as_deref());
        if time.is_none() && token.contains(':') {
            time = Some(clock(token)?);
        } else if day.is_none() && (1..=2).contains(&digits) {
            day = number;
        } else if month.is_none() && named.is_some() {
            month = named;
        } else if year.is_none() && (2..=4).contains(&digits) {
            year = number;
        }
    }
    let year = match year? {
        short @ 70..=99 => short + 1900,
        short @ 0..=69 => short + 2000,
        year => year,
    };
    let ([hour, minute, second], month) = (time?, i8::try_from(month? + 1).ok()?);
    let day = i8::try_from(day?).ok()?;
    let date = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

/// `hh:mm:ss`
fn clock(text: &str) -> Option<[i8; 3]> {
    let mut fields = text.splitn(3, ':').map(|field| field.parse().ok());
    Some([fields.next()??, fields.next()??, fields.next()??])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn target(url: &str) -> Target {
        Target::new(url.parse().expect("a URL")).unwrap_or_else(|wrong| panic!("{wrong}"))
    }

    fn stored(from: &str, values: &[&str]) -> Jar {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(SET_COOKIE, HeaderValue::from_bytes(value.as_bytes()).expect(value));
        }
        let mut jar = Jar::default();
        jar.store(&target(from), &headers);
        jar
    }

    fn sent(jar: &Jar, to: &str) -> String {
        let header = jar.header(&target(to), None);
        header.map_or(String::new(), |value| value.to_str().expect("text").to_owned())
    }

    #[test]
    fn a_cookie_goes_where_it_belongs_and_nowhere_else() {
        for (from, cookie, to, goes) in [
            ("http://a.b.org/", "c=1", "http://a.b.org/x", true),
            ("http://a.b.org/", "c=1", "http://a.b.org:8080/", true),
            ("http://a.b.org/", "c=1", "https://a.b.org/", true),
            ("http://a.b.org/", "c=1", "http://b.org/", false),
            ("http://a.b.org/", "c=1", "http://x.a.b.org/", false),
            ("http://a.b.org/", "c=1; Domain=b.org", "http://x.b.org/", true),
            ("http://a.b.org/", "c=1; domain=.B.org", "http://b.org/", true),
            ("http://a.b.org/", "c=1; Domain=b.org", "http://xb.org/", false),
            ("http://a.b.org/", "c=1; Domain=a.b.org", "http://x.a.b.org/", true),
            ("http://a.b.org/", "c=1; Domain=", "http://b.org/", false),
            ("http://a.b.org/", "c=1; Domain=x.org", "http://x.org/", false),
            ("http://a.b.org/", "c=1; Domain=x.org", "http://a.b.org/", false),
            ("http://a.b.org/", "c=1; Domain=org", "http://x.org/", false),
            ("http://localhost/", "c=1; Domain=localhost", "http://localhost/", true),
            ("http://10.0.0.1/", "c=1", "http://10.0.0.1/", true),
            ("http://10.0.0.1/", "c=1; Domain=10.0.0.1", "http://10.0.0.1/", true),
            ("http://10.0.0.1/", "c=1; Domain=0.0.1", "http://11.0.0.1/", false),
            ("http://10.0.0.1/", "c=1", "http://10.0.0.2/", false),
            ("http://[::1]/", "c=1", "http://[::1]/", true),
            ("http://a/x/y", "c=1", "http://a/x/z", true),
            ("http://a/x/y", "c=1", "http://a/x", true),
            ("http://a/x/y", "c=1", "http://a/", false),
            ("http://a/x/y", "c=1", "http://a/xx", false),
            ("http://a/x/y", "c=1; Path=/", "http://a/", true),
            ("http://a/x", "c=1; Path=/x/", "http://a/x", false),
            ("http://a/x", "c=1; Path=x", "http://a/y", true),
            ("https://a/", "c=1; Secure", "https://a/", true),
            ("https://a/", "c=1; Secure", "http://a/", false),
            ("http://a/", "c=1; Secure", "https://a/", false),
        ] {
            let wanted = if goes { "c=1" } else { "" };
            assert_eq!(sent(&stored(from, &[cookie]), to), wanted, "{from} {cookie} {to}");
        }
    }

    #[test]
    fn odd_cookies_are_read_as_browsers_read_them() {
        for (cookie, wanted) in [
            ("c=1; HttpOnly; SameSite=Lax; Priority=High", "c=1"),
            (" c = 1 ;x", "c=1"),
            ("c=", "c="),
            ("c=a=b", "c=a=b"),
            ("c=\"1 2\"", "c=\"1 2\""),
            ("c=1; Path; Domain", "c=1"),
            ("=1", ""),
            ("c", ""),
            ("", ""),
            ("c=a\u{fffd}b", ""),
        ] {
            assert_eq!(sent(&stored("http://a/", &[cookie]), "http://a/"), wanted, "{cookie}");
        }
    }

    #[test]
    fn the_last_value_counts_and_longer_paths_come_first() {
        let jar = stored("http://a/x/y", &["c=1; Path=/", "d=2", "c=3; Path=/", "e=4; Path=/x/y"]);
        assert_eq!(sent(&jar, "http://a/x/y"), "e=4; d=2; c=3");
    }

    #[test]
    fn an_expired_cookie_is_forgotten() {
        for (expiry, stays) in [
            ("Max-Age=0", false),
            ("Max-Age=-1", false),
            ("Max-Age=99999999999999999999", true),
            ("Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", true),
            ("Max-Age=x; Expires=Thu, 01 Jan 1970 00:00:00 GMT", false),
            ("Expires=Thu, 01-Jan-70 00:00:10 GMT", false),
            ("expires=Sun Nov  6 08:49:37 1994", false),
            ("Expires=Fri, 01 Jan 2999 00:00:00 GMT", true),
            ("Expires=never", true),
            ("Expires=Fri, 31 Feb 1999 00:00:00 GMT", true),
        ] {
            let expiring = format!("c=2; {expiry}");
            let jar = stored("http://a/", &["c=1", &expiring]);
            let wanted = if stays { "c=2" } else { "" };
            assert_eq!(sent(&jar, "http://a/"), wanted, "{expiry}");
        }
    }

    #[test]
    fn dates_are_read_in_each_of_their_forms() {
        for text in [
            "Wed, 21 Oct 2015 07:28:00 GMT",
            "Wed, 21-Oct-2015 07:28:00 GMT",
            "Wednesday, 21-Oct-15 07:28:00 GMT",
            "Wed Oct 21 07:28:00 2015",
            "21 october 2015, 7:28:0",
        ] {
            assert_eq!(date(text).map(Timestamp::as_second), Some(1_445_412_480), "{text}");
        }
        for text in
            ["", "Wed", "21 Oct 2015", "07:28:00", "32 Oct 2015 07:28:00", "1 Oct 2015 25:0:0"]
        {
            assert_eq!(date(text), None, "{text}");
        }
    }

    #[test]
    fn an_answer_replaces_a_configured_cookie_of_the_same_name() {
        let jar = stored("http://a/", &["b=3", "c=4"]);
        let configured = HeaderValue::from_static("a=1; b=2");
        let header = jar.header(&target("http://a/"), Some(&configured)).expect("cookies");
        assert_eq!(
            (header.to_str().expect("text"), header.is_sensitive()),
            ("a=1; b=3; c=4", true)
        );
        assert_eq!(jar.header(&target("http://b/"), Some(&configured)), Some(configured));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = date(&text);
            let _ = stored("http://a/", &[&text, &format!("a=1; expires={text}; path={text}")]);
        }
    }
}
