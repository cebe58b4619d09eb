//! What is heard, judged at moments that a test makes up.

use super::*;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// A run at every full hour since 1970.
struct Hourly;

impl Schedule for Hourly {
    fn next(&self, after: SystemTime) -> Option<SystemTime> {
        let since = after.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
        Some(SystemTime::UNIX_EPOCH + Duration::from_secs((since / 3_600 + 1) * 3_600))
    }

    fn shown(&self, at: SystemTime) -> String {
        let since = at.duration_since(SystemTime::UNIX_EPOCH).expect("it is later").as_secs();
        format!("{}:00", since / 3_600 % 24)
    }
}

fn terms(schedule: bool, max_duration: Option<Duration>) -> Expectation {
    let schedule = schedule.then(|| Box::new(Hourly) as Box<dyn Schedule>);
    Expectation { grace: 10 * MINUTE, schedule, max_duration }
}

/// A moment after a first one, which is half an hour after a full hour.
struct Clock(Instant);

impl Clock {
    fn new() -> Self {
        Self(Instant::now())
    }

    fn at(&self, after: Duration) -> Moment {
        let wall = SystemTime::UNIX_EPOCH + 1_000 * 24 * HOUR + 30 * MINUTE + after;
        Moment { instant: self.0 + after, wall }
    }
}

fn missed(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Missed(_))
}

#[tokio::test]
async fn a_scheduled_run_is_missed_once_its_grace_is_over() {
    let (clock, terms) = (Clock::new(), terms(true, None));
    let mut heard = Heard::default();
    heard.asked(clock.at(Duration::ZERO));
    let waiting = heard.judge(&terms, clock.at(MINUTE));
    assert!(matches!(&waiting, Verdict::Waiting(text) if text.ends_with("1:00")), "{waiting:?}");
    assert!(matches!(heard.judge(&terms, clock.at(40 * MINUTE)), Verdict::Waiting(_)));
    let Verdict::Missed(text) = heard.judge(&terms, clock.at(41 * MINUTE)) else {
        panic!("nothing came");
    };
    assert_eq!(text, "no heartbeat for the run of 1:00, and grace = 10m is over");
    assert!(heard.hear(Signal::Success, "", clock.at(45 * MINUTE)), "it ends a silence");
    assert_eq!(heard.judge(&terms, clock.at(100 * MINUTE)), Verdict::Well(None));
    assert!(missed(&heard.judge(&terms, clock.at(101 * MINUTE))), "the next one");
}

#[tokio::test]
async fn a_start_needs_an_end_within_the_longest_duration() {
    for schedule in [false, true] {
        let (clock, terms) = (Clock::new(), terms(schedule, Some(HOUR)));
        let mut heard = Heard::default();
        heard.hear(Signal::Start, "", clock.at(Duration::ZERO));
        assert_eq!(heard.judge(&terms, clock.at(HOUR)), Verdict::Well(None), "it runs");
        // Started again without an end, it is the first start that counts.
        heard.hear(Signal::Start, "", clock.at(30 * MINUTE));
        let Verdict::Missed(text) = heard.judge(&terms, clock.at(61 * MINUTE)) else {
            panic!("it has not ended");
        };
        let wanted = "started 1h 1m ago and has not ended, longer than max_duration = 1h";
        assert_eq!(text, wanted);
        assert!(heard.hear(Signal::Success, "", clock.at(62 * MINUTE)));
        assert_eq!(heard.duration(), Some(32 * MINUTE), "of the newest start");
        assert_eq!(heard.judge(&terms, clock.at(63 * MINUTE)), Verdict::Well(None));
    }
}

#[tokio::test]
async fn without_a_longest_duration_a_start_is_no_sign_of_life() {
    let (clock, terms) = (Clock::new(), terms(false, None));
    let mut heard = Heard::default();
    heard.hear(Signal::Success, "", clock.at(Duration::ZERO));
    heard.hear(Signal::Start, "", clock.at(9 * MINUTE));
    assert!(missed(&heard.judge(&terms, clock.at(11 * MINUTE))));
}

#[tokio::test]
async fn a_failure_lasts_until_a_success() {
    let (clock, terms) = (Clock::new(), terms(false, Some(HOUR)));
    let at = |minutes| clock.at(minutes * MINUTE);
    let mut heard = Heard::default();
    assert!(heard.hear(Signal::Fail, " disk full\n", at(0)));
    let full = Verdict::Failed(Reason::Other, "disk full".to_owned());
    assert_eq!(heard.judge(&terms, at(1)), full);
    heard.hear(Signal::Start, "", at(2));
    assert_eq!(heard.judge(&terms, at(3)), full, "it has not succeeded yet");
    heard.hear(Signal::Exit(3), "", at(4));
    let exit = Verdict::Failed(Reason::UnexpectedStatus, "exit code 3".to_owned());
    assert_eq!((heard.judge(&terms, at(4)), heard.duration()), (exit, Some(2 * MINUTE)));
    heard.hear(Signal::Log, "trying again", at(5));
    let text = "exit code 3: trying again".to_owned();
    let logged = Verdict::Failed(Reason::UnexpectedStatus, text);
    assert_eq!(heard.judge(&terms, at(5)), logged);
    assert!(heard.hear(Signal::Success, "done", at(6)));
    assert_eq!(heard.judge(&terms, at(7)), Verdict::Well(Some("done".to_owned())));
    assert_eq!(heard.duration(), None, "it did not say when it started");
}

#[tokio::test]
async fn it_is_read_by_another_process_as_it_was_written() {
    let (clock, terms) = (Clock::new(), terms(false, None));
    let at = |minutes| clock.at(minutes * MINUTE);
    let mut heard = Heard::default();
    heard.asked(at(0));
    heard.hear(Signal::Start, "", at(1));
    heard.hear(Signal::Success, "all of it", at(3));
    let text = heard.encode();
    // The other process's monotonic clock has nothing to do with ours.
    let later = Moment { instant: Instant::now() + 99 * HOUR, wall: at(7).wall };
    let mut read = Heard::decode(&text, later).expect("what was written");
    assert_eq!(read.age(later), Some(4 * MINUTE));
    assert_eq!(read.duration(), Some(2 * MINUTE));
    assert_eq!(read.judge(&terms, later), Verdict::Well(Some("all of it".to_owned())));
    assert_eq!(read.encode(), text);
    assert!(Heard::decode("", later).is_none());
    assert!(Heard::decode("{}", later).is_some());
    let early = Heard::decode(&text, at(2)).expect("what was written");
    assert_eq!(early.age(at(2)), Some(Duration::ZERO), "the clock was set back");
}

#[tokio::test]
async fn what_was_heard_last_wins_over_what_another_process_heard() {
    let clock = Clock::new();
    let at = |minutes| clock.at(minutes * MINUTE);
    let (mut old, mut new) = (Heard::default(), Heard::default());
    old.asked(at(0));
    old.hear(Signal::Success, "old", at(1));
    new.asked(at(2));
    new.hear(Signal::Success, "new", at(3));
    new.succeed(&old);
    assert_eq!(new.message.as_deref(), Some("new"));
    assert_eq!(new.since, Some(at(0)));
    let mut fresh = Heard::default();
    fresh.asked(at(4));
    fresh.succeed(&old);
    assert_eq!((fresh.message.as_deref(), fresh.since), (Some("old"), Some(at(0))));
}
