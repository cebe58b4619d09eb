//! Reads an answer and compares it with the expectation.

use std::net::Ipv6Addr;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{RData, Record, RecordType};

use super::Dns;
use crate::engine::check::{Context, Failure};
use crate::model::{Measurement, Reason};
use crate::net::{self, Endpoint};

pub(super) static TTL: Measurement = Measurement {
    name: "dns_ttl_seconds",
    help: "Shortest time that a record of the answer may be cached for, aliases included.",
};

/// A record that must be in the answer.
#[derive(Debug)]
pub(super) struct Wanted {
    /// As configured.
    text: String,
    /// Normalised forms; one of them must match.
    normal: Vec<String>,
}

/// The record of type `record_type` that reads `text`.
pub(super) fn wanted(text: &str, record_type: RecordType) -> Wanted {
    let mut spellings = vec![normal(text, record_type)];
    // Zone files and tools show a text in quotes; a text that really contains quotes is tried as it
    // is, too.
    if record_type == RecordType::TXT {
        spellings.extend(unquoted(text));
    }
    Wanted { text: text.to_owned(), normal: spellings }
}

/// A normalised form: equal for all spellings of the same record.
fn normal(text: &str, record_type: RecordType) -> String {
    match record_type {
        RecordType::TXT => text.to_owned(),
        RecordType::AAAA => {
            text.parse::<Ipv6Addr>().map_or_else(|_| text.to_owned(), |ip| ip.to_string())
        }
        RecordType::CAA => {
            // Flags, tag and value, which tools show with quotes and without.
            let text = text.trim();
            let value = text.splitn(3, char::is_whitespace).nth(2).unwrap_or_default().trim();
            let bare = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
            let head = text.strip_suffix(value).unwrap_or(text);
            words(&format!("{head} {bare}"))
        }
        _ => words(text),
    }
}

/// The words of `text` in small letters, names without their final dot.
fn words(text: &str) -> String {
    let words = text.split_whitespace().map(|word| match word.trim_end_matches('.') {
        "" => word.to_owned(),
        word => word.to_ascii_lowercase(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The text that a zone file writes as `text`: concatenated strings in quotes (RFC 1035, section
/// 5.1).
fn unquoted(text: &str) -> Option<String> {
    let mut rest = text.trim();
    let mut whole = String::new();
    while !rest.is_empty() {
        let mut characters = rest.strip_prefix('"')?.chars();
        loop {
            match characters.next()? {
                '"' => break,
                '\\' => whole.push(characters.next()?),
                character => whole.push(character),
            }
        }
        rest = characters.as_str().trim_start();
    }
    (!text.trim().is_empty()).then_some(whole)
}

/// The text of a record as zone files show it; that of TXT without quotes and in one piece.
fn text(data: &RData) -> String {
    match data {
        RData::TXT(txt) => String::from_utf8_lossy(&txt.txt_data.concat()).into_owned(),
        data => data.to_string(),
    }
}

/// The name servers of a referral, if `message` is one: it has no record, is not authoritative, and
/// the server offers no recursion.
fn referral(message: &Message) -> Option<String> {
    let metadata = &message.metadata;
    let answers = metadata.authoritative || metadata.recursion_available;
    if answers || !message.answers.is_empty() {
        return None;
    }
    let servers = message.authorities.iter().filter_map(|record| match &record.data {
        RData::NS(server) => Some(server.to_string().trim_end_matches('.').to_owned()),
        _ => None,
    });
    let servers = servers.collect::<Vec<_>>().join(", ");
    (!servers.is_empty()).then_some(servers)
}

impl Dns {
    /// Whether `message`, which `server` has answered, is as expected.
    pub(super) fn judge(
        &self,
        cx: &Context,
        server: &Endpoint,
        message: &Message,
    ) -> Result<(), Failure> {
        self.judge_code(server, message.metadata.response_code)?;
        if self.code != ResponseCode::NoError {
            return Ok(());
        }
        if let Some(servers) = referral(message) {
            let (name, servers) = (self.shown(), net::brief(servers));
            let text = format!(
                "{server} gives no answer to {name} {} and refers to {servers} instead: it asks \
                 nobody else for this client",
                self.record_type
            );
            return Err(Failure::new(Reason::DnsFailed, text));
        }
        let records = || message.answers.iter().filter(|r| r.record_type() == self.record_type);
        if records().next().is_none() {
            let text = format!("{server} knows no {} record of {}", self.record_type, self.shown());
            return Err(Failure::new(Reason::UnexpectedBody, text).answered());
        }
        // A cache drops the whole answer when the first of its records expires, even if that is an
        // alias.
        if let Some(ttl) = message.answers.iter().map(|record| record.ttl).min() {
            cx.measure(&TTL, f64::from(ttl));
        }
        self.judge_records(server, records())
    }

    fn judge_code(&self, server: &Endpoint, code: ResponseCode) -> Result<(), Failure> {
        if code == self.code {
            return Ok(());
        }
        let [code_name, wanted] = [code, self.code].map(code_name);
        let (name, of_type) = (self.shown(), self.record_type);
        let text = format!("{server} answers {code_name} to {name} {of_type}, not {wanted}");
        Err(match code {
            ResponseCode::NoError => Failure::new(Reason::UnexpectedStatus, text).answered(),
            ResponseCode::NXDomain => Failure::new(Reason::DnsNotFound, text),
            _ => Failure::new(Reason::DnsFailed, text),
        })
    }

    fn judge_records<'a>(
        &self,
        server: &Endpoint,
        records: impl Iterator<Item = &'a Record>,
    ) -> Result<(), Failure> {
        if self.contains.is_empty() {
            return Ok(());
        }
        let found: Vec<String> = records.map(|record| text(&record.data)).collect();
        let normals: Vec<_> = found.iter().map(|text| normal(text, self.record_type)).collect();
        let Some(missing) = self
            .contains
            .iter()
            .find(|wanted| !wanted.normal.iter().any(|spelling| normals.contains(spelling)))
        else {
            return Ok(());
        };
        let (name, found) = (self.shown(), net::brief(found.join(", ")));
        let missing = net::brief(&missing.text);
        let text = format!("{server} answers {name} with {found}, without {missing}");
        Err(Failure::new(Reason::UnexpectedBody, text).answered())
    }
}

/// The usual name of a code; RFC 6895, section 2.3.
fn code_name(code: ResponseCode) -> String {
    let name = match code {
        ResponseCode::NoError => "NOERROR",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::NXDomain => "NXDOMAIN",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::Refused => "REFUSED",
        ResponseCode::NotAuth => "NOTAUTH",
        other => return format!("RCODE{}", u16::from(other)),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::rr::rdata::TXT;

    use super::*;

    #[test]
    fn spellings_of_one_record_are_one() {
        for (record_type, one, other) in [
            (RecordType::MX, "10  Mail.Example", "10 mail.example."),
            (RecordType::NS, "NS1.example.", "ns1.example"),
            (RecordType::AAAA, "2001:DB8:0:0::1", "2001:db8::1"),
            (RecordType::SRV, "0 5 5060 sip.example", "0 5 5060 SIP.example."),
            (RecordType::CAA, "0 issue \"ca.example\"", "0 issue ca.example"),
            (RecordType::CAA, "0 issuewild \";\"", "0  Issuewild  ;"),
            (RecordType::CAA, "0 issue \"ca.example; account=1\"", "0 issue ca.example; account=1"),
            (RecordType::CAA, "128 iodef \"\"", "128 iodef"),
        ] {
            assert_eq!(normal(one, record_type), normal(other, record_type));
        }
        // RFC 7505: mail is not accepted.
        assert_eq!(normal("0 .", RecordType::MX), "0 .");
        assert_ne!(normal("a", RecordType::TXT), normal("A", RecordType::TXT));
    }

    #[test]
    fn a_text_is_meant_with_its_quotes_and_without() {
        let meant = |text| wanted(text, RecordType::TXT).normal;
        assert_eq!(meant("v=spf1 -all"), ["v=spf1 -all"]);
        assert_eq!(meant("\"v=spf1 -all\""), ["\"v=spf1 -all\"", "v=spf1 -all"]);
        assert_eq!(meant("\"v=spf1 \" \"-all\"")[1], "v=spf1 -all");
        assert_eq!(meant(r#""a \"b\" \\c""#)[1], r#"a "b" \c"#);
        for text in ["\"open", "\"a\" b", "a \"b\"", ""] {
            assert_eq!(meant(text).len(), 1, "{text}");
        }
    }

    #[test]
    fn the_pieces_of_a_text_are_put_together() {
        let data = RData::TXT(TXT::new(vec!["v=spf1 ".into(), "-all".into()]));
        assert_eq!(text(&data), "v=spf1 -all");
        let data = RData::TXT(TXT::from_bytes(vec![b"\xff\xfe"]));
        assert_eq!(text(&data), "\u{fffd}\u{fffd}");
    }
}
