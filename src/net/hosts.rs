//! The hosts file of this system: addresses of names that are found without a name server.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;

/// Names with their addresses, in the order of the file.
#[derive(Debug, Default)]
pub(super) struct Hosts(HashMap<String, Vec<IpAddr>>);

impl Hosts {
    /// Reads `file`; one that cannot be read has no names.
    pub(super) fn read(file: &Path) -> Self {
        std::fs::read(file)
            .map(|bytes| Self::parse(&String::from_utf8_lossy(&bytes)))
            .unwrap_or_default()
    }

    /// Reads lines of an address and its names (hosts(5)). Whatever stands there is a name: the
    /// underscore too, which programs put there that write the file for containers.
    fn parse(text: &str) -> Self {
        let mut hosts: HashMap<String, Vec<IpAddr>> = HashMap::new();
        for line in text.lines() {
            let line = line.split_once('#').map_or(line, |(line, _)| line);
            let mut words = line.split_whitespace();
            let Some(Ok(address)) = words.next().map(str::parse) else { continue };
            for name in words {
                let addresses = hosts.entry(normal(name)).or_default();
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        Self(hosts)
    }

    /// The addresses of `name`, where the file has any.
    pub(super) fn get(&self, name: &str) -> Option<&[IpAddr]> {
        self.0.get(&normal(name)).map(Vec::as_slice)
    }
}

/// One spelling for all of a name: in its ASCII form and small letters, without the final dot.
fn normal(name: &str) -> String {
    let name = name.strip_suffix('.').unwrap_or(name);
    match url::Host::parse(name) {
        Ok(url::Host::Domain(name)) => name,
        _ => name.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_name_has_its_addresses() {
        let hosts = Hosts::parse(
            "# 10.0.0.9 commented\n127.0.0.1\tlocalhost in_file # and my_db\n\n\
             10.0.0.1 Orders.Example. bücher.example\nfd00::1 orders.example\n\
             10.0.0.1 orders.example\nfe80::1%eth0 scoped\nnonsense name\n",
        );
        for (name, addresses) in [
            ("in_file", &["127.0.0.1"][..]),
            ("IN_FILE.", &["127.0.0.1"]),
            ("orders.example", &["10.0.0.1", "fd00::1"]),
            ("ORDERS.example.", &["10.0.0.1", "fd00::1"]),
            ("xn--bcher-kva.example", &["10.0.0.1"]),
        ] {
            let addresses: Vec<IpAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
            assert_eq!(hosts.get(name), Some(&addresses[..]), "{name}");
        }
        for name in ["commented", "my_db", "scoped", "name", "file", ""] {
            assert_eq!(hosts.get(name), None, "{name}");
        }
    }
}
