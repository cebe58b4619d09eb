//! When windows open and close, by example and against clocks read minute by minute.

use proptest::prelude::*;

use super::*;

const HOUR: Duration = Duration::from_hours(1);

fn at(text: &str) -> SystemTime {
    SystemTime::from(text.parse::<Timestamp>().expect("a moment"))
}

fn weekly(days: &[Day], start: &str, duration: Duration, zone: &str) -> Window {
    Window::weekly(days.iter().copied(), start, duration, zone).expect("a window")
}

/// When a window that is not open yet at `after` opens and closes.
fn next(window: &Window, after: &str) -> [String; 2] {
    let after = at(after);
    assert!(!window.is_active(after));
    let opens = window.next_change(after).expect("it opens");
    let closes = window.next_change(opens).expect("it closes");
    assert!(window.is_active(opens) && !window.is_active(closes));
    let just_before = Duration::from_nanos(1);
    assert!(!window.is_active(opens - just_before) && window.is_active(closes - just_before));
    [opens, closes].map(|at| Timestamp::try_from(at).expect("a moment").to_string())
}

#[test]
fn a_single_window_is_open_from_its_start_until_just_before_its_end() {
    let window = Window::once(at("2026-01-31T22:00:00Z"), at("2026-01-31T23:00:00Z"));
    let window = window.expect("a window");
    let opens = ["2026-01-31T22:00:00Z", "2026-01-31T23:00:00Z"];
    assert_eq!(next(&window, "2026-01-31T21:59:59Z"), opens);
    assert_eq!(window.next_change(at(opens[1])), None);
}

#[test]
fn a_window_over_midnight_belongs_to_the_day_on_which_it_starts() {
    let window = weekly(&[Day::Sat], "23:00", 3 * HOUR, "UTC");
    // 2026-01-03 is a Saturday.
    let opens = ["2026-01-03T23:00:00Z", "2026-01-04T02:00:00Z"];
    assert_eq!(next(&window, "2025-12-28T02:00:00Z"), opens);
    assert!(window.is_active(at("2026-01-04T01:59:59Z")));
    assert!(!window.is_active(at("2026-01-03T01:00:00Z")), "Friday's night");
    assert!(!window.is_active(at("2026-01-04T23:30:00Z")), "Sunday");
}

#[test]
fn a_start_is_what_clocks_there_show_in_summer_and_winter() {
    let window = Window::daily("23:00", HOUR, "Europe/Berlin").expect("a window");
    let winter = ["2026-01-10T22:00:00Z", "2026-01-10T23:00:00Z"];
    assert_eq!(next(&window, "2026-01-10T12:00:00Z"), winter);
    let summer = ["2026-07-10T21:00:00Z", "2026-07-10T22:00:00Z"];
    assert_eq!(next(&window, "2026-07-10T12:00:00Z"), summer);
}

#[test]
fn a_start_that_is_left_out_is_the_first_moment_after_the_gap() {
    let window = Window::daily("02:30", HOUR, "Europe/Berlin").expect("a window");
    let opens = ["2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"];
    assert_eq!(next(&window, "2026-03-28T12:00:00Z"), opens);
    let midnight = Window::daily("00:00", HOUR, "America/Havana").expect("a window");
    let opens = ["2026-03-08T05:00:00Z", "2026-03-08T06:00:00Z"];
    assert_eq!(next(&midnight, "2026-03-07T12:00:00Z"), opens);
}

#[test]
fn a_start_that_comes_twice_is_the_earlier() {
    let window = Window::daily("02:30", HOUR, "Europe/Berlin").expect("a window");
    let opens = ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"];
    assert_eq!(next(&window, "2026-10-24T12:00:00Z"), opens);
    let again = Window::daily("02:30", HOUR / 2, "Europe/Berlin").expect("a window");
    assert!(!again.is_active(at("2026-10-25T01:40:00Z")), "the second 02:40");
}

#[test]
fn a_window_stays_open_for_its_elapsed_time_whatever_clocks_do() {
    let window = weekly(&[Day::Sat], "23:00", 6 * HOUR, "Europe/Berlin");
    let spring = ["2026-03-28T22:00:00Z", "2026-03-29T04:00:00Z"];
    assert_eq!(next(&window, "2026-03-28T12:00:00Z"), spring);
    let autumn = ["2026-10-24T21:00:00Z", "2026-10-25T03:00:00Z"];
    assert_eq!(next(&window, "2026-10-24T12:00:00Z"), autumn);
}

#[test]
fn openings_that_overlap_are_one() {
    let window = weekly(&[Day::Fri, Day::Sat], "12:00", 30 * HOUR, "UTC");
    let opens = ["2026-01-02T12:00:00Z", "2026-01-04T18:00:00Z"];
    assert_eq!(next(&window, "2026-01-01T00:00:00Z"), opens);
}

#[test]
fn only_a_window_that_meets_its_next_opening_is_endless() {
    let endless = |days: &[Day], hours| weekly(days, "01:00", HOUR * hours, "UTC").is_endless();
    assert!(endless(&Day::ALL, 24) && !endless(&Day::ALL, 23));
    assert!(endless(&[Day::Sun], 168) && !endless(&[Day::Sun], 167));
    assert!(endless(&[Day::Mon, Day::Thu], 96) && !endless(&[Day::Mon, Day::Thu], 95));
    let always = Window::daily("01:00", 24 * HOUR, "UTC").expect("a window");
    assert!(always.is_active(at("2026-01-01T00:59:59Z")));
    assert_eq!(always.next_change(at("2026-01-01T00:00:00Z")), None);
    let but_for_long_days = Window::daily("01:00", 24 * HOUR, "Europe/Berlin").expect("a window");
    let closes = but_for_long_days.next_change(at("2026-01-01T00:00:00Z"));
    assert_eq!(closes, Some(at("2026-10-25T23:00:00Z")), "until a day of 25 hours");
}

#[test]
fn a_window_that_cannot_be_is_refused() {
    let daily = |start: &str, length| Window::daily(start, length, "UTC").map(drop);
    for start in ["", "25:00", "24:00", "11 pm", "2026-01-01T23:00", "23:00+02:00", "23", "2300"] {
        assert_eq!(daily(start, HOUR), Err(WindowError::Start), "{start:?}");
    }
    for start in ["23:00", "00:00", "23:59:59", "09:30:00.5"] {
        assert_eq!(daily(start, HOUR), Ok(()), "{start:?}");
    }
    let week = 7 * 24 * HOUR;
    for length in [Duration::ZERO, week + Duration::from_nanos(1), Duration::MAX] {
        assert_eq!(daily("23:00", length), Err(WindowError::Duration), "{length:?}");
    }
    assert_eq!(daily("23:00", week), Ok(()));
    let zone = Window::daily("23:00", HOUR, "Europe/Atlantis").map(drop);
    assert_eq!(zone, Err(WindowError::TimeZone));
    let days = Window::weekly([], "23:00", HOUR, "UTC").map(drop);
    assert_eq!(days, Err(WindowError::NoDay));
    let now = at("2026-01-01T00:00:00Z");
    assert_eq!(Window::once(now, now).map(drop), Err(WindowError::Order));
    let beyond = now.checked_add(HOUR * 24 * 366 * 9000).expect("a time");
    assert_eq!(Window::once(now, beyond).map(drop), Err(WindowError::Moment));
}

#[test]
fn times_that_no_calendar_holds_are_outside_of_every_window() {
    let window = Window::daily("00:00", HOUR, "Europe/Berlin").expect("a window");
    let beyond = at("2026-01-01T00:00:00Z") + HOUR * 24 * 366 * 9000;
    assert!(!window.is_active(beyond));
    assert_eq!(window.next_change(beyond), None);
    for edge in [Timestamp::MAX, Timestamp::MIN] {
        let edge = SystemTime::from(edge);
        // Whatever they say, they say it.
        let _ = (window.is_active(edge), window.next_change(edge));
    }
}

/// Days on which clocks change, each otherwise, and two places where they never do.
const CHANGES: &[(&str, &str)] = &[
    ("UTC", "2026-01-03"),
    ("Asia/Kathmandu", "2026-05-05"),
    ("Europe/Berlin", "2026-03-29"),
    ("Europe/Berlin", "2026-10-25"),
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
    // By half an hour.
    ("Australia/Lord_Howe", "2026-04-05"),
    ("Australia/Lord_Howe", "2026-10-04"),
    // Midnight is left out, and comes twice.
    ("America/Havana", "2026-03-08"),
    ("America/Havana", "2026-11-01"),
    // Back over midnight, to the day before.
    ("Asia/Beirut", "2026-10-25"),
    // A whole day is left out.
    ("Pacific/Apia", "2011-12-30"),
];

const DAY_MINUTES: usize = 24 * 60;

/// What clocks in a time zone show, minute by minute, for ten days before and after a change.
struct Minutes {
    first: Timestamp,
    local: Vec<DateTime>,
}

impl Minutes {
    fn around(zone: &TimeZone, date: Date) -> Self {
        let noon = TimeZone::UTC.to_timestamp(date.at(12, 0, 0, 0)).expect("a moment");
        let first = noon - SignedDuration::from_hours(10 * 24);
        let local = (0..20 * DAY_MINUTES).map(|minute| zone.to_datetime(first + minutes(minute)));
        Self { first, local: local.collect() }
    }

    fn at(&self, minute: usize) -> SystemTime {
        SystemTime::from(self.first + minutes(minute))
    }

    /// Whether a window is open in each minute.
    fn open(&self, days: &[Day], start: Time, length: usize) -> Vec<bool> {
        let mut open = vec![false; self.local.len()];
        let dates =
            self.local[0].date().tomorrow().expect("a date").series(jiff::Span::new().days(1));
        for date in dates.take(21).filter(|date| days.contains(&Day::of(date.weekday()))) {
            let start = date.to_datetime(start);
            let Some(begins) = self.local.iter().position(|local| *local >= start) else { break };
            let ends = (begins + length).min(open.len());
            open[begins..ends].fill(true);
        }
        open
    }
}

fn minutes(count: usize) -> SignedDuration {
    SignedDuration::from_mins(i64::try_from(count).expect("few"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn windows_are_open_when_clocks_read_minute_by_minute_say_so(
        change in prop::sample::select(CHANGES),
        days in prop::sample::subsequence(Day::ALL.to_vec(), 1..=7),
        start in prop_oneof![0..4 * 60_u32, 0..24 * 60_u32],
        length in prop_oneof![1..5 * 60_usize, 1..=7 * DAY_MINUTES],
        offset in 0..7_usize,
    ) {
        let (zone, date) = change;
        let zone = time_zone(zone).expect("a time zone");
        let clocks = Minutes::around(&zone, date.parse().expect("a date"));
        let text = format!("{:02}:{:02}", start / 60, start % 60);
        let start = time_of_day(&text).expect("a time of day");
        let expected = clocks.open(&days, start, length);
        let window = Window::recurring(days, start, minutes(length), zone).expect("a window");
        // Windows that opened before the first minute are closed by then.
        let looked_at = 9 * DAY_MINUTES..12 * DAY_MINUTES;
        for minute in looked_at.clone().skip(offset).step_by(7) {
            prop_assert_eq!(window.is_active(clocks.at(minute)), expected[minute], "{}", minute);
        }
        let mut minute = looked_at.start;
        while minute < looked_at.end {
            let changes = (minute + 1..expected.len()).find(|m| expected[*m] != expected[minute]);
            let found = window.next_change(clocks.at(minute));
            let Some(changes) = changes else {
                let last = clocks.at(expected.len() - 1);
                prop_assert!(found.is_none_or(|at| at > last));
                break;
            };
            prop_assert_eq!(found, Some(clocks.at(changes)), "after minute {}", minute);
            minute = changes;
        }
    }
}
