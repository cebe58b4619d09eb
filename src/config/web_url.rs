//! Reads `http` and `https` URLs for all options that have one.

use url::Url;

/// Why a text is not an `http` or `https` URL, and what would be right.
const NO_URL: &str = "not an http or https URL; write one such as \"http://host:port\"";

const SEVERAL_HOSTS: &str = "it names several hosts, while a URL of the web names one; write one such as \
     \"http://host:port\"";

/// Reads a URL with the scheme `http` or `https` and one host.
///
/// # Errors
/// What is wrong and what would be right, without any part of the text, which may contain a
/// password.
pub(crate) fn web_url(text: &str) -> Result<Url, &'static str> {
    if names_several_hosts(text) {
        return Err(SEVERAL_HOSTS);
    }
    let is_of_the_web = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    Url::parse(text).ok().filter(is_of_the_web).ok_or(NO_URL)
}

/// Whether the URL contains credentials.
pub(super) fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// Whether the URL has a list of hosts, as some client libraries accept it.
pub(crate) fn names_several_hosts(url: &str) -> bool {
    let after_scheme = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = after_scheme.split(['/', '?', '#']).next().unwrap_or_default();
    let hosts = authority.rsplit('@').next().unwrap_or_default();
    hosts.contains(',')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_is_wanted_and_an_address_or_a_name_will_do() {
        for text in [
            "http://a",
            "https://a_b:9093/x?a,b",
            "http://[::1]:9093",
            "http://user:pa,ss@a/",
            " http://a:1 ",
            "HTTP://a",
        ] {
            assert!(web_url(text).is_ok(), "{text}");
        }
        for text in ["http://a,b", "http://a:1,b:2", "https://user:pass@a:1,b/x", "http://,a"] {
            assert_eq!(web_url(text), Err(SEVERAL_HOSTS), "{text}");
        }
        for text in
            ["", "a", "a:1", "127.0.0.1:9093", "http://", "http:///x", "ftp://a", "http://a:x"]
        {
            let read = web_url(text);
            // The WHATWG standard accepts any number of slashes before the host.
            assert!(read == Err(NO_URL) || text == "http:///x", "{text}: {read:?}");
        }
    }
}
