//! What an answer says, and whether it is what was expected.

use std::net::Ipv6Addr;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{RData, Record, RecordType};

use super::Dns;
use crate::engine::check::{Context, Failure};
use crate::model::{Measurement, Reason};
use crate::net::{self, Endpoint};

pub(super) static TTL: Measurement = Measurement {
    name: "dns_ttl_seconds",
    help: "Shortest time that a record of the answer may be cached for.",
};

/// A record that must be in the answer.
#[derive(Debug)]
pub(super) struct Wanted {
    /// As configured.
    text: String,
    /// As it is compared.
    normal: String,
}

/// The record of type `record_type` that reads `text`.
pub(super) fn wanted(text: &str, record_type: RecordType) -> Wanted {
    Wanted { text: text.to_owned(), normal: normal(text, record_type) }
}

/// One spelling for all that mean the same record.
fn normal(text: &str, record_type: RecordType) -> String {
    match record_type {
        RecordType::TXT => text.to_owned(),
        RecordType::AAAA => {
            text.parse::<Ipv6Addr>().map_or_else(|_| text.to_owned(), |ip| ip.to_string())
        }
        _ => {
            let words = text.split_whitespace().map(|word| match word.trim_end_matches('.') {
                "" => word.to_owned(),
                word => word.to_ascii_lowercase(),
            });
            words.collect::<Vec<_>>().join(" ")
        }
    }
}

/// The text of a record as zone files show it; that of TXT without quotes and in one piece.
fn text(data: &RData) -> String {
    match data {
        RData::TXT(txt) => String::from_utf8_lossy(&txt.txt_data.concat()).into_owned(),
        data => data.to_string(),
    }
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
        let records = || message.answers.iter().filter(|r| r.record_type() == self.record_type);
        let Some(ttl) = records().map(|record| record.ttl).min() else {
            let text = format!("{server} knows no {} record of {}", self.record_type, self.shown());
            return Err(Failure::new(Reason::UnexpectedBody, text).answered());
        };
        cx.measure(&TTL, f64::from(ttl));
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
        let Some(missing) = self.contains.iter().find(|w| !normals.contains(&w.normal)) else {
            return Ok(());
        };
        let (name, found) = (self.shown(), net::brief(found.join(", ")));
        let missing = net::brief(&missing.text);
        let text = format!("{server} answers {name} with {found}, without {missing}");
        Err(Failure::new(Reason::UnexpectedBody, text).answered())
    }
}

/// The name of a code as everybody knows it; RFC 6895, section 2.3.
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
        ] {
            assert_eq!(normal(one, record_type), normal(other, record_type));
        }
        // RFC 7505: mail is not accepted.
        assert_eq!(normal("0 .", RecordType::MX), "0 .");
        assert_ne!(normal("a", RecordType::TXT), normal("A", RecordType::TXT));
    }

    #[test]
    fn the_pieces_of_a_text_are_put_together() {
        let data = RData::TXT(TXT::new(vec!["v=spf1 ".into(), "-all".into()]));
        assert_eq!(text(&data), "v=spf1 -all");
        let data = RData::TXT(TXT::from_bytes(vec![b"\xff\xfe"]));
        assert_eq!(text(&data), "\u{fffd}\u{fffd}");
    }
}
