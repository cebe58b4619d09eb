//! Schedules in words, and the runs that follow from them.

use super::*;

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).expect("a time zone")
}

/// The next runs after a local time, as clocks there show them.
fn runs(schedule: &str, place: &str, after: &str, count: usize) -> Vec<String> {
    let cron = Cron::parse(schedule).expect(schedule);
    let zone = zone(place);
    let after: DateTime = after.parse().expect("a time");
    let mut at = zone.to_ambiguous_timestamp(after).earlier().expect("a time");
    let mut found = Vec::new();
    for _ in 0..count {
        at = cron.next(at, &zone).expect("a run");
        found.push(at.to_zoned(zone.clone()).strftime("%a %Y-%m-%d %H:%M").to_string());
    }
    found
}

#[test]
fn runs_follow_from_the_fields() {
    for (schedule, after, wanted) in [
        ("0 3 * * 1-5", "2026-01-02T03:00", ["Mon 2026-01-05 03:00", "Tue 2026-01-06 03:00"]),
        ("*/20 * * * *", "2026-01-02T03:39:59", ["Fri 2026-01-02 03:40", "Fri 2026-01-02 04:00"]),
        ("5/25 8-9 * * *", "2026-01-02T08:31", ["Fri 2026-01-02 08:55", "Fri 2026-01-02 09:05"]),
        ("0 0 1,15 jan *", "2026-01-02T00:00", ["Thu 2026-01-15 00:00", "Fri 2027-01-01 00:00"]),
        ("0 0 * JAN-feb Sun", "2026-01-30T00:00", ["Sun 2026-02-01 00:00", "Sun 2026-02-08 00:00"]),
        ("0 0 29 2 *", "2026-01-30T00:00", ["Tue 2028-02-29 00:00", "Sun 2032-02-29 00:00"]),
        // Either kind of day is enough.
        ("0 0 13 * fri", "2026-02-01T00:00", ["Fri 2026-02-06 00:00", "Fri 2026-02-13 00:00"]),
        ("0 0 31 4 mon", "2026-04-20T00:00", ["Mon 2026-04-27 00:00", "Mon 2027-04-05 00:00"]),
        // A star restricts nothing, not even with a step.
        ("0 0 */2 * fri", "2026-02-01T00:00", ["Fri 2026-02-13 00:00", "Fri 2026-02-27 00:00"]),
        ("@daily", "2026-01-02T00:00", ["Sat 2026-01-03 00:00", "Sun 2026-01-04 00:00"]),
        ("@WEEKLY", "2026-01-02T00:00", ["Sun 2026-01-04 00:00", "Sun 2026-01-11 00:00"]),
        ("@hourly", "2026-01-02T23:30", ["Sat 2026-01-03 00:00", "Sat 2026-01-03 01:00"]),
        (" 0  12\t* * 5-7 ", "2026-01-02T12:00", ["Sat 2026-01-03 12:00", "Sun 2026-01-04 12:00"]),
    ] {
        assert_eq!(runs(schedule, "UTC", after, 2), wanted, "{schedule}");
    }
}

#[test]
fn sunday_is_zero_and_seven() {
    let of = |schedule: &str| Cron::parse(schedule).map(|cron| cron.weekdays.0 & 0x7f);
    for schedule in ["0 0 * * 0", "0 0 * * 7", "0 0 * * sun", "0 0 * * SUN"] {
        assert_eq!(of(schedule), Ok(1), "{schedule}");
    }
    assert_eq!(of("0 0 * * 6-7"), Ok(0b100_0001));
    assert_eq!(of("0 0 * * sat-sun"), Ok(0b100_0001));
    assert_eq!(of("0 0 * * 0-6"), of("0 0 * * 1-7"));
}

#[test]
fn a_time_that_clocks_leave_out_has_no_run() {
    // 2:00 to 3:00 on 29 March.
    let nightly = runs("30 2 * * *", "Europe/Berlin", "2026-03-28T02:30", 2);
    assert_eq!(nightly, ["Mon 2026-03-30 02:30", "Tue 2026-03-31 02:30"]);
    let hourly = runs("0 * * * *", "Europe/Berlin", "2026-03-29T01:00", 2);
    assert_eq!(hourly, ["Sun 2026-03-29 03:00", "Sun 2026-03-29 04:00"]);
    // Midnight, on 6 September.
    let midnight = runs("@daily", "America/Santiago", "2026-09-05T00:00", 1);
    assert_eq!(midnight, ["Mon 2026-09-07 00:00"]);
}

#[test]
fn a_time_that_comes_twice_has_one_run() {
    let cron = Cron::parse("30 2 * * *").expect("a schedule");
    let berlin = zone("Europe/Berlin");
    let first = cron.next("2026-10-24T22:00Z".parse().expect("a time"), &berlin);
    assert_eq!(first, "2026-10-25T00:30Z".parse().ok());
    let between = cron.next("2026-10-25T00:45Z".parse().expect("a time"), &berlin);
    assert_eq!(between, "2026-10-26T01:30Z".parse().ok());
}

#[test]
fn what_is_no_schedule_is_refused_with_what_would_be_right() {
    for (schedule, wanted) in [
        ("0 3 * *", "five fields, not 4"),
        ("0 0 3 * * *", "five fields, not 6"),
        ("", "five fields, not 0"),
        ("60 * * * *", "`60` is no minute; write a number from 0 to 59"),
        ("* 24 * * *", "`24` is no hour"),
        ("* * 0 * *", "`0` is no day of the month"),
        ("* * * 13 *", "`13` is no month"),
        ("* * * foo *", "`foo` is no month"),
        ("* * * * 8", "`8` is no day of the week"),
        ("* * * * jan", "`jan` is no day of the week"),
        ("*/0 * * * *", "`*/0` is no minute"),
        ("30-10 * * * *", "`30-10` is no minute"),
        ("1,,2 * * * *", "`` is no minute"),
        ("-1 * * * *", "`-1` is no minute"),
        ("+1 * * * *", "`+1` is no minute"),
        ("1-2-3 * * * *", "`1-2-3` is no minute"),
        ("@often", "`@often` is no schedule; there are @hourly"),
        ("@reboot", "`@reboot` is no schedule"),
        ("0 0 30 2 *", "such a day never comes"),
        ("0 0 31 4,6,9,11 *", "such a day never comes"),
    ] {
        let error = Cron::parse(schedule).expect_err(schedule);
        assert!(error.contains(wanted), "{schedule}: {error}");
    }
}
