//! The `amqp` kind, against RabbitMQ.

use opentelemetry::trace::Status;
use vitalsign::{Check, Detail, Outcome, Reason, Run};

use super::{asked, failed};
use crate::support::certs::{Authority, file};
use crate::support::checks::{self, PATIENT, SHORT, ask, ask_often, check, figure};
use crate::support::daemon::wait_for;
use crate::support::rabbitmq::{CERTIFIED, LIMITED, PASSWORD, RabbitMq, WATCHER};
use crate::support::spans::{Spans, attribute, events};

/// One node for all of it, as it takes seconds to start.
#[tokio::test]
async fn rabbitmq_is_asked_for_all_that_the_kind_promises() {
    let Some(mut server) = RabbitMq::start().await else { return };
    follows_the_conventions(&server).await;
    asked_often_it_has_nothing_to_complain_of(&server).await;
    lets_in_by_the_right_password_alone(&server).await;
    tells_virtual_hosts_apart(&server).await;
    tells_of_a_queue(&server).await;
    takes_leave_in_order(&server);
    is_asked_about_no_channel_and_no_queue_of_others(&server).await;
    measures_no_stream(&server).await;
    takes_a_zero_for_none_until_it_is_confirmed(&server).await;
    speaks_tls_and_knows_certificates(&server).await;
    freezes_and_stops(&mut server).await;
}

/// The user that may ask.
fn app() -> String {
    format!("app:{PASSWORD}@")
}

async fn follows_the_conventions(server: &RabbitMq) {
    let (spans, _guard) = Spans::record();
    assert_eq!(asked(&server.url(&app(), ""), "").await, Ok(Detail::ok()));
    let span = spans.only();
    assert_eq!((&*span.name, &span.status), ("open", &Status::Unset));
    assert_eq!(events(&span), ["connect", "request", "transfer"]);
    let port = server.port().to_string();
    for (key, value) in [
        ("messaging.system.name", "rabbitmq"),
        ("messaging.operation.name", "open"),
        ("network.protocol.name", "amqp"),
        ("server.address", "127.0.0.1"),
        ("server.port", &port),
    ] {
        assert_eq!(attribute(&span, key).as_deref(), Some(value), "{key}");
    }
}

/// Runs of healthy queues and virtual hosts leave no warning and no error in its log.
async fn asked_often_it_has_nothing_to_complain_of(server: &RabbitMq) {
    let before = server.complaints();
    let url = server.url(&app(), "");
    let options = ["", "queue = 'orders'\nmax_messages = 1", "queue = 'jobs'\nmax_messages = 1"];
    for options in options.map(|more| format!("url = '{url}'\n{more}")) {
        let check = check("amqp", &options);
        ask_often(&check).await;
    }
    assert_eq!(server.complaints(), before);
}

async fn lets_in_by_the_right_password_alone(server: &RabbitMq) {
    for credentials in ["app:not-the-one@", "nobody:at-all@", ""] {
        let (reason, text) = failed(&server.url(credentials, ""), "").await;
        assert_eq!(reason, Reason::AuthFailed, "{text}");
        assert!(text.contains("answered: 403 ACCESS_REFUSED"), "{text}");
        assert!(!text.contains("not-the-one"), "{text}");
    }
}

async fn tells_virtual_hosts_apart(server: &RabbitMq) {
    assert_eq!(asked(&server.url(&app(), "/"), "").await, Ok(Detail::ok()));
    assert_eq!(asked(&server.url(&app(), "/%2F"), "").await, Ok(Detail::ok()));
    for (path, wanted) in [
        ("/missing", Reason::NotServing),
        ("/closed", Reason::AuthFailed),
        ("/full", Reason::Overloaded),
    ] {
        let (reason, text) = failed(&server.url(&app(), path), "").await;
        assert_eq!(reason, wanted, "{text}");
        assert!(text.contains("answered: 530 NOT_ALLOWED"), "{text}");
    }
}

async fn tells_of_a_queue(server: &RabbitMq) {
    let url = server.url(&app(), "");
    server.publish("orders", 3).await;
    let run = async |more: &str| {
        let options = format!("url = '{url}'\nqueue = 'orders'\n{more}");
        checks::run(check("amqp", &options)).await
    };
    for (more, wanted) in [
        ("max_messages = 3", None),
        ("max_messages = 2", Some("holds 3 messages, above max_messages, 2")),
        ("min_consumers = 1", Some("has 0 consumers, below min_consumers, 1")),
    ] {
        let run = run(more).await;
        assert_eq!(figure(&run, "queue_messages"), Some(3.0));
        assert_eq!(figure(&run, "queue_consumers"), Some(0.0));
        match wanted {
            None => assert_eq!(run.outcome, Outcome::Success, "{:?}", run.message),
            Some(wanted) => {
                assert_eq!(run.reason, Some(Reason::OutOfRange));
                assert!(run.message.as_ref().is_some_and(|m| m.ends_with(wanted)), "{run:?}");
            }
        }
    }
    let (spans, guard) = Spans::record();
    assert_eq!(failed(&url, "queue = 'orders'\nmin_consumers = 1").await.0, Reason::OutOfRange);
    let span = spans.only();
    assert_eq!((&*span.name, &span.status), ("declare orders", &Status::Unset));
    assert_eq!(attribute(&span, "messaging.destination.name").as_deref(), Some("orders"));
    drop(guard);
    for _ in 0..2 {
        // The second time shows that the first has declared none.
        let (reason, text) = failed(&url, "queue = 'missing'").await;
        assert_eq!(reason, Reason::NotServing, "{text}");
        assert!(text.contains("answered: 404 NOT_FOUND - no queue 'missing'"), "{text}");
    }
}

async fn is_asked_about_no_channel_and_no_queue_of_others(server: &RabbitMq) {
    let limited = server.url(&format!("{LIMITED}:{PASSWORD}@"), "");
    let (reason, text) = failed(&limited, "queue = 'orders'").await;
    assert_eq!(reason, Reason::Overloaded, "{text}");
    assert!(text.contains("answered: 530 NOT_ALLOWED - number of channels opened"), "{text}");
    let _holder = server.hold("taken").await;
    let (reason, text) = failed(&server.url(&app(), ""), "queue = 'taken'").await;
    assert_eq!(reason, Reason::NotServing, "{text}");
    assert!(text.contains("answered: 405 RESOURCE_LOCKED"), "{text}");
}

fn queue(server: &RabbitMq, user: &str, options: &str) -> std::sync::Arc<dyn Check> {
    let url = server.url(&format!("{user}:{PASSWORD}@"), "");
    check("amqp", &format!("url = '{url}'\n{options}"))
}

fn is_warned_of(run: &Run, wanted: &str) {
    assert_eq!(run.outcome, Outcome::Warning, "{run:?}");
    assert!(run.message.as_ref().is_some_and(|text| text.contains(wanted)), "{run:?}");
    assert_eq!((figure(run, "queue_messages"), figure(run, "queue_consumers")), (None, None));
}

/// The broker counts what a stream retains, and none of its consumers.
async fn measures_no_stream(server: &RabbitMq) {
    for stream in ["events", "bounded"] {
        server.publish(stream, 7).await;
    }
    for (stream, option) in [
        ("events", "max_messages = 5"),
        ("events", "min_consumers = 1"),
        ("bounded", "max_messages = 5"),
        ("silent", "max_messages = 5"),
    ] {
        let check = queue(server, "app", &format!("queue = '{stream}'\n{option}"));
        let wanted = format!("the queue {stream} is a stream");
        // It is seen at the first run, which makes the broker log an error, and remembered.
        let before = errors_about(server, stream).await;
        is_warned_of(&checks::run(check.clone()).await, &wanted);
        let learned = errors_about(server, stream).await;
        assert!(learned > before, "{stream}: {}", server.log());
        for _ in 0..5 {
            is_warned_of(&checks::run(check.clone()).await, &wanted);
        }
        assert_eq!(errors_about(server, stream).await, learned, "{stream}: {}", server.log());
    }
    let without_options = queue(server, "app", "queue = 'silent'");
    let run = checks::run(without_options).await;
    assert_eq!((run.outcome, figure(&run, "queue_messages")), (Outcome::Success, None), "{run:?}");
}

/// How many errors about a queue it has logged. It writes its log some time after it answers, so a
/// question of its own, which fails, is put behind those before and awaited in the log.
async fn errors_about(server: &RabbitMq, queue: &str) -> usize {
    let logged = |queue: &str| {
        let name = format!("queue '{queue}'");
        server.complaints().iter().filter(|line| line.contains(&name)).count()
    };
    let before = logged("last");
    failed(&server.url(&app(), ""), "queue = 'last'").await;
    wait_for("the last error", async || logged("last") > before).await;
    logged(queue)
}

async fn takes_a_zero_for_none_until_it_is_confirmed(server: &RabbitMq) {
    for name in ["jobs", "ordered"] {
        let run = checks::run(queue(server, "app", &format!("queue = '{name}'"))).await;
        assert_eq!((run.outcome, figure(&run, "queue_messages")), (Outcome::Success, Some(0.0)));
    }
    // Who may not read the queue cannot have it confirmed.
    let check = queue(server, WATCHER, "queue = 'jobs'");
    for _ in 0..2 {
        is_warned_of(&checks::run(check.clone()).await, "let this user read the queue");
    }
    server.publish("jobs", 7).await;
    let check = queue(server, "app", "queue = 'jobs'\nmax_messages = 5");
    assert_eq!(checks::run(check.clone()).await.reason, Some(Reason::OutOfRange));
    // Its leader goes, as when the majority of its nodes is lost: the broker then reports 0.
    server.evaluate(r"ra:stop_server(quorum_queues, {'%2F_jobs', node()}).");
    for _ in 0..2 {
        let run = checks::run(check.clone()).await;
        assert_eq!(run.reason, Some(Reason::NotServing), "{run:?}");
        assert_eq!(figure(&run, "queue_messages"), None);
    }
}

/// What it was asked up to here has left no complaint about a client that went without a word.
fn takes_leave_in_order(server: &RabbitMq) {
    let log = server.log();
    assert!(log.contains("accepting AMQP connection"), "{log}");
    assert!(!log.contains("client unexpectedly closed"), "{log}");
}

async fn speaks_tls_and_knows_certificates(server: &RabbitMq) {
    let [right, wrong] = [&server.authority, &Authority::new()].map(|a| file(&a.pem));
    let url = server.tls_url(&app());
    let trusting = |ca: &tempfile::NamedTempFile| format!("tls.ca = '{}'\n", ca.path().display());
    let (spans, _guard) = Spans::record();
    assert_eq!(asked(&url, &trusting(&right)).await, Ok(Detail::ok()));
    assert_eq!(events(&spans.only()), ["connect", "tls", "request", "transfer"]);
    assert_eq!(failed(&url, &trusting(&wrong)).await.0, Reason::TlsUntrusted);
    for (name, wanted) in [(CERTIFIED, None), ("nobody", Some(Reason::AuthFailed))] {
        let identity = server.authority.issue(name);
        let [cert, key] = [&identity.cert, &identity.key].map(|pem| file(pem));
        let [cert, key] = [cert.path().display(), key.path().display()];
        let more = format!("{}tls.cert = '{cert}'\ntls.key = '{key}'", trusting(&right));
        let verdict = asked(&server.tls_url(""), &more).await;
        assert_eq!(verdict.err().map(|failure| failure.reason()), wanted, "{name}");
    }
    // Without TLS where TLS is spoken.
    let plain = server.tls_url(&app()).replace("amqps", "amqp");
    assert_eq!(failed(&plain, "").await.0, Reason::Protocol);
}

async fn freezes_and_stops(server: &mut RabbitMq) {
    let check = check("amqp", &format!("url = '{}'", server.url(&app(), "")));
    server.freeze();
    assert_eq!(ask(&*check, SHORT).await.expect_err("it is frozen").reason(), Reason::Timeout);
    server.thaw();
    assert_eq!(ask(&*check, PATIENT).await, Ok(Detail::ok()));
    server.stop().await;
    let refused = ask(&*check, PATIENT).await.expect_err("nothing listens");
    assert_eq!(refused.reason(), Reason::ConnectionRefused);
}
