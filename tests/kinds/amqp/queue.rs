//! What a broker reports of a queue, from peers that follow a script.

use vitalsign::{Check, Detail, Outcome, Reason};

use super::{SECRET, close_ok, method, opened_after, refusal, start_of};
use crate::support::checks::{self, check, figure};
use crate::support::peer::{self, Peer};

const RABBITMQ: &[u8] = b"\x07productS\0\0\0\x08RabbitMQ";

/// From the greeting to a queue of which the broker reports these counts, and then `more`.
fn reports(product: &[u8], messages: u8, consumers: u8, more: &[Vec<u8>]) -> Vec<u8> {
    let declared = method(1, [50, 11], &[1, b'q', 0, 0, 0, messages, 0, 0, 0, consumers]);
    let opened = opened_after(start_of(product, "PLAIN"));
    [opened, channel_opened(), declared, more.concat()].concat()
}

fn channel_opened() -> Vec<u8> {
    method(1, [20, 11], b"\0\0\0\0")
}

async fn check_of(answer: Vec<u8>, options: &str) -> (Peer, std::sync::Arc<dyn Check>) {
    let peer = Peer::start(peer::answering(answer)).await;
    let url = format!("amqp://app:{SECRET}@{}", peer.address);
    let check = check("amqp", &format!("url = '{url}'\nqueue = 'q'\n{options}"));
    (peer, check)
}

#[tokio::test]
async fn two_zeros_are_figures_once_the_queue_has_answered_for_itself() {
    let empty = method(1, [60, 72], b"\0");
    let message = method(1, [60, 71], b"\0\0\0\0\0\0\0\x01\0\0\x01q\0\0\0\x02");
    let locked = refusal(1, [20, 40], 405, "RESOURCE_LOCKED - single active consumer");
    let gone = refusal(0, [10, 50], 541, "INTERNAL_ERROR - nodedown");
    let missing = refusal(1, [20, 40], 404, "NOT_FOUND - no queue 'q'");
    for (answer, wanted) in [
        (empty, Ok(Some(0.0))),
        (message, Ok(Some(3.0))),
        (locked, Ok(Some(0.0))),
        (gone, Err(Reason::NotServing)),
        (missing, Err(Reason::NotServing)),
    ] {
        let (_peer, check) = check_of(reports(RABBITMQ, 0, 0, &[answer, close_ok()]), "").await;
        let run = checks::run(check).await;
        let seen = run.reason.map_or_else(|| Ok(figure(&run, "queue_messages")), Err);
        assert_eq!(seen, wanted, "{run:?}");
    }
}

/// Brokers of other makes have measured what they report, and so has one that knows of consumers.
#[tokio::test]
async fn other_figures_need_no_confirmation() {
    for (product, messages, consumers) in
        [(&b""[..], 0, 0), (RABBITMQ, 0, 1), (RABBITMQ, 4, 0), (RABBITMQ, 4, 2)]
    {
        let answer = reports(product, messages, consumers, &[close_ok()]);
        let (_peer, check) = check_of(answer, "max_messages = 4").await;
        let run = checks::run(check).await;
        assert_eq!(run.outcome, Outcome::Success, "{run:?}");
        assert_eq!(figure(&run, "queue_messages"), Some(f64::from(messages)));
        assert_eq!(figure(&run, "queue_consumers"), Some(f64::from(consumers)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_does_not_answer_for_itself_serves_nobody() {
    let (_peer, check) = check_of(reports(RABBITMQ, 0, 0, &[]), "").await;
    let failure = checks::ask(&*check, checks::PATIENT).await.expect_err("no answer");
    assert_eq!(failure.reason(), Reason::NotServing);
    assert!(failure.message().contains("majority"), "{}", failure.message());
}

#[tokio::test]
async fn the_refusal_of_a_type_names_the_one_that_the_queue_has() {
    let refused = |arg: &str, current: &str| {
        let text =
            format!("PRECONDITION_FAILED - inequivalent arg '{arg}': but current is {current}");
        refusal(1, [20, 40], 406, &text)
    };
    let age = || refused("x-max-age", "the value '7D' of type 'longstr'");
    let denied = refusal(1, [20, 40], 403, "ACCESS_REFUSED - access to queue 'q' refused");
    for (answers, wanted) in [
        (vec![refused("x-queue-type", "'stream'")], Outcome::Warning),
        (vec![age(), channel_opened(), refused("x-queue-type", "'stream'")], Outcome::Warning),
        (vec![refused("x-queue-type", "'classic'")], Outcome::Failure),
        (vec![refused("durable", "'false'")], Outcome::Failure),
        (vec![denied], Outcome::Failure),
    ] {
        let answers = [answers, vec![close_ok()]].concat();
        let (_peer, check) = check_of(reports(RABBITMQ, 9, 0, &answers), "max_messages = 4").await;
        let run = checks::run(check).await;
        assert_eq!(run.outcome, wanted, "{run:?}");
        assert_eq!(run.reason, (wanted == Outcome::Failure).then_some(Reason::OutOfRange));
    }
}

/// The answer to a farewell is not what the check is about.
#[tokio::test]
async fn nothing_that_comes_after_the_farewell_fails_a_run() {
    for last in [vec![], close_ok(), refusal(0, [10, 50], 320, "CONNECTION_FORCED"), b"?".to_vec()]
    {
        let (_peer, check) = check_of(reports(b"", 0, 0, &[last]), "").await;
        assert_eq!(checks::ask(&*check, checks::PATIENT).await, Ok(Detail::ok()));
    }
}
