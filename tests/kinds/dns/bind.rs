//! The `dns` kind, asked of BIND.

use std::fmt::Write as _;

use opentelemetry::trace::Status;
use vitalsign::{Detail, Failure, Outcome, Reason};

use crate::support::checks::{PATIENT, ask, check, figure, run};
use crate::support::named::Named;
use crate::support::spans::{Spans, attribute};

const RECORDS: &str = "@ 600 IN A 10.0.0.1\n@ 120 IN A 10.0.0.2\n@ IN AAAA 2001:db8::1\n\
    @ IN MX 10 mail\n@ IN TXT \"v=spf1 \" \"-all\"\n@ IN CAA 0 issue \"ca.example\"\n\
    www IN CNAME @\n_sip._tcp IN SRV 0 5 5060 sip\n1 IN PTR host.orders.test.\nonly4 IN A 10.0.0.3\n\
    sub IN NS ns.sub\nns.sub IN A 127.0.0.9";

fn options(named: &Named, name: &str, more: &str) -> String {
    format!("name = '{name}'\nresolver = '{}'\n{more}", named.resolver())
}

async fn asked(named: &Named, name: &str, more: &str) -> Result<Detail, Failure> {
    ask(&*check("dns", &options(named, name, more)), PATIENT).await
}

#[tokio::test]
async fn records_of_every_type_are_found_in_any_spelling() {
    let Some(named) = Named::start(RECORDS).await else { return };
    for (name, more) in [
        ("orders.test", ""),
        ("Orders.Test.", "expect.contains = ['10.0.0.2', '10.0.0.1']"),
        ("orders.test", "type = 'AAAA'\nexpect.contains = '2001:DB8:0::1'"),
        ("orders.test", "type = 'MX'\nexpect.contains = '10 Mail.Orders.Test'"),
        ("orders.test", "type = 'TXT'\nexpect.contains = 'v=spf1 -all'"),
        ("orders.test", "type = 'CAA'\nexpect.contains = '0 issue \"ca.example\"'"),
        ("orders.test", "type = 'caa'\nexpect.contains = '0 issue ca.example'"),
        ("orders.test", "type = 'TXT'\nexpect.contains = '\"v=spf1 \" \"-all\"'"),
        ("orders.test", "type = 'txt'\nexpect.contains = '\"v=spf1 -all\"'"),
        ("orders.test", "type = 'NS'\nexpect.contains = 'ns1.orders.test.'"),
        (
            "orders.test",
            "type = 'SOA'\nexpect.contains = \
             'ns1.orders.test admin.orders.test 1 3600 600 86400 60'",
        ),
        ("www.orders.test", "expect.contains = '10.0.0.1'"),
        ("www.orders.test", "type = 'CNAME'\nexpect.contains = 'orders.test'"),
        ("_sip._tcp.orders.test", "type = 'SRV'\nexpect.contains = '0 5 5060 sip.orders.test'"),
        ("1.orders.test", "type = 'PTR'\nexpect.contains = 'host.orders.test'"),
        ("orders.test", "transport = 'tcp'"),
        ("missing.orders.test", "expect.rcode = 'NXDOMAIN'"),
        ("elsewhere.test", "expect.rcode = 'REFUSED'"),
    ] {
        let answer = asked(&named, name, more).await;
        assert_eq!(answer, Ok(Detail::ok()), "{name} {more}");
    }
}

#[tokio::test]
async fn the_shortest_time_to_live_is_a_figure() {
    let Some(named) = Named::start(RECORDS).await else { return };
    // A set of records has one time to live, by RFC 2181: BIND takes the first.
    let run = run(check("dns", &options(&named, "only4.orders.test", ""))).await;
    assert_eq!(run.outcome, Outcome::Success, "{:?}", run.message);
    assert_eq!(figure(&run, "dns_ttl_seconds"), Some(300.0));
}

#[tokio::test]
async fn each_way_of_being_wrong_has_its_reason() {
    let Some(named) = Named::start(RECORDS).await else { return };
    for (name, more, reason, error, what) in [
        ("missing.orders.test", "", Reason::DnsNotFound, true, "answers NXDOMAIN to"),
        ("broken.test", "", Reason::DnsFailed, true, "answers SERVFAIL to broken.test A, not"),
        ("elsewhere.test", "", Reason::DnsFailed, true, "answers REFUSED to elsewhere.test"),
        (
            "www.sub.orders.test",
            "",
            Reason::DnsFailed,
            true,
            "no answer to www.sub.orders.test A and refers to ns.sub.orders.test instead",
        ),
        (
            "orders.test",
            "expect.rcode = 'NXDOMAIN'",
            Reason::UnexpectedStatus,
            false,
            "answers NOERROR to orders.test A, not NXDOMAIN",
        ),
        (
            "only4.orders.test",
            "type = 'AAAA'",
            Reason::UnexpectedBody,
            false,
            "knows no AAAA record of only4.orders.test",
        ),
        (
            "only4.orders.test",
            "expect.contains = ['10.0.0.3', '10.0.0.9']",
            Reason::UnexpectedBody,
            false,
            "answers only4.orders.test with 10.0.0.3, without 10.0.0.9",
        ),
        // Upper and lower case are two texts.
        (
            "orders.test",
            "type = 'TXT'\nexpect.contains = 'V=SPF1 -ALL'",
            Reason::UnexpectedBody,
            false,
            "with v=spf1 -all, without V=SPF1 -ALL",
        ),
    ] {
        let (spans, _guard) = Spans::record();
        let failure = asked(&named, name, more).await.expect_err(name);
        assert_eq!(failure.reason(), reason, "{name} {more}: {}", failure.message());
        assert!(failure.message().contains(what), "{}", failure.message());
        assert!(failure.message().contains(&named.resolver()), "{}", failure.message());
        let span = spans.only();
        assert_eq!(span.status != Status::Unset, error, "{name} {more}");
        let told = attribute(&span, "error.type");
        assert_eq!(told.as_deref(), error.then_some(reason.as_str()), "{name} {more}");
    }
}

#[tokio::test]
async fn an_answer_that_fits_no_datagram_is_read_over_a_connection() {
    // As many as BIND takes by default; a datagram holds up to 80 of them.
    let records = (0..100).fold(String::new(), |mut records, n| {
        writeln!(records, "many IN A 10.1.0.{n}").expect("memory");
        records
    });
    let Some(named) = Named::start(&records).await else { return };
    let (spans, _guard) = Spans::record();
    let more = "expect.contains = ['10.1.0.0', '10.1.0.99']";
    asked(&named, "many.orders.test", more).await.expect("all of it");
    let spans = spans.ended();
    let transports: Vec<_> = spans.iter().map(|s| attribute(s, "network.transport")).collect();
    assert_eq!(transports, [Some("udp".into()), Some("tcp".into())]);
    let failure = asked(&named, "many.orders.test", "expect.contains = '10.2.0.1'").await;
    let failure = failure.expect_err("it is missing");
    assert!(failure.message().chars().count() < 400, "{}", failure.message());
}
