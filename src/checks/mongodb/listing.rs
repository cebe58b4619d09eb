//! Finds the servers of a `mongodb+srv` name in DNS (MongoDB's Initial DNS Seedlist Discovery
//! specification).
//!
//! A record of the type SRV lists the servers, one of the type TXT may name the database that knows
//! the users.

use percent_encoding::percent_decode_str;

use crate::engine::check::Failure;
use crate::model::Reason;
use crate::net::{Endpoint, Host};

/// Which servers are asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Servers {
    One(Endpoint),
    Listed(Listing),
}

/// Servers that DNS lists under a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) name: String,
    pub(super) service: String,
}

impl Listing {
    /// The name of the record that lists the servers.
    pub(super) fn service_name(&self) -> String {
        format!("_{}._tcp.{}", self.service, self.name)
    }

    /// Checks that all of `servers` are in the domain of the name: otherwise a forged record could
    /// send the credentials to another server.
    ///
    /// # Errors
    /// If one of them is not.
    pub(super) fn accept(&self, servers: &[Endpoint]) -> Result<(), Failure> {
        // A name of one or two labels is a domain itself.
        let domain = match self.name.split_once('.') {
            Some((_, parent)) if parent.contains('.') => parent,
            _ => &self.name,
        };
        let stranger = servers.iter().find(|server| match server.host() {
            Host::Name(name) => {
                let name = name.trim_end_matches('.');
                name.strip_suffix(domain).is_none_or(|prefix| !prefix.ends_with('.'))
            }
            Host::Ip(_) => true,
        });
        stranger.map_or(Ok(()), |server| {
            let text = format!(
                "{} lists the server {server}, which is not in the domain {domain}",
                self.service_name()
            );
            Err(Failure::new(Reason::DnsFailed, text))
        })
    }

    /// The database that knows the users, as the `texts` of a name have it.
    pub(super) fn source(texts: &[String]) -> Option<String> {
        // More than one text is an error to drivers; here it names nothing.
        let [text] = texts else { return None };
        let source = text.split('&').find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            name.eq_ignore_ascii_case("authSource").then_some(value)
        })?;
        let source = percent_decode_str(source).decode_utf8().ok()?;
        Some(source.into_owned()).filter(|source| !source.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_servers_are_in_the_domain_of_the_name() {
        for (name, server, is_right) in [
            ("orders.example.org", "db1.example.org:1", true),
            ("orders.example.org", "a.b.example.org:1", true),
            ("orders.example.org", "db1.evil-example.org:1", false),
            ("orders.example.org", "example.org:1", false),
            ("orders.example.org", "db1.example.com:1", false),
            ("orders.example.org", "10.0.0.1:1", false),
            ("example.org", "db1.example.org:1", true),
            ("example.org", "db1.other.org:1", false),
            ("localhost", "db1.localhost:1", true),
        ] {
            let listing = Listing { name: name.to_owned(), service: "mongodb".to_owned() };
            let found = listing.accept(&[Endpoint::parse(server).expect(server)]);
            assert_eq!(found.is_ok(), is_right, "{name} {server}");
            assert!(found.err().is_none_or(|failure| failure.reason() == Reason::DnsFailed));
        }
    }

    #[test]
    fn a_text_names_the_database_that_knows_the_users() {
        let source = |texts: &[&str]| {
            Listing::source(&texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(source(&["replicaSet=rs0&authSource=us%65rs"]).as_deref(), Some("users"));
        for texts in [&[][..], &["replicaSet=rs0"], &["authSource="], &["authSource=a", "x=y"]] {
            assert_eq!(source(texts), None, "{texts:?}");
        }
    }
}
