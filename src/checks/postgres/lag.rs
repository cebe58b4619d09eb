//! How far a replica lags.
//!
//! # When it is known
//! While the replica's receiver is connected and has heard where its source is. A replica that has
//! replayed all that its source has is behind by nothing. Otherwise the age of the last replayed
//! transaction bounds the lag from above, and without one it is not known.
//!
//! # When it is not
//! A source may be a replica too, and be cut off itself: it goes on answering and sends nothing
//! new. The replica cannot tell that from an idle primary. All that is certain is that it lags by
//! no more than the time since something new came. So when that time exceeds the bound that was
//! asked for, the lag is not reported any more.

use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgConnection;

use crate::checks::sql::lag::Lag;

/// Shortest silence that makes the lag unknown. A primary at work lets its replicas hear of it:
/// 15 s after a change it writes which transactions are open.
const SILENCE: Duration = Duration::from_secs(20);

/// Whether it is a replica; whether its receiver is connected; whether it has replayed all that it
/// knows of its source, null where it has heard nothing of it yet; the age in seconds of what came
/// last, which a role without `pg_read_all_stats` does not see; and that of the last replayed
/// transaction.
///
/// A receiver begins at the start of a segment of the log, and stands there until it has received
/// something.
const LAG: &str = "\
SELECT pg_is_in_recovery(), \
EXISTS (SELECT FROM pg_stat_wal_receiver WHERE coalesce(status, 'streaming') = 'streaming'), \
(SELECT CASE WHEN status IS NOT NULL THEN pg_last_wal_replay_lsn() >= latest_end_lsn \
WHEN (pg_last_wal_receive_lsn() - '0/0') % pg_size_bytes(current_setting('wal_segment_size')) > 0 \
THEN pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn() END FROM pg_stat_wal_receiver), \
(SELECT extract(epoch FROM clock_timestamp() - latest_end_time)::float8 \
FROM pg_stat_wal_receiver), \
extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8";

/// The answers of a replica to [`LAG`].
#[derive(Debug, Clone, Copy)]
struct Answers {
    /// Whether the receiver is connected.
    fed: bool,
    /// Whether all is replayed that is known of the source.
    level: Option<bool>,
    /// Seconds since something new came.
    silent: Option<f64>,
    /// Seconds since the last replayed transaction was committed.
    replayed: Option<f64>,
}

/// Asks for the lag, which is to be judged by bounds of which `bound` is the smallest.
pub(super) async fn ask(
    conn: &mut PgConnection,
    bound: Duration,
) -> Result<Option<Lag>, sqlx::Error> {
    let row = sqlx::raw_sql(LAG).fetch_one(conn).await?;
    if !row.try_get::<bool, _>(0)? {
        return Ok(None);
    }
    let answers = Answers {
        fed: row.try_get(1)?,
        level: row.try_get(2)?,
        silent: row.try_get(3)?,
        replayed: row.try_get(4)?,
    };
    Ok(Some(lag(answers, bound)))
}

fn lag(answers: Answers, bound: Duration) -> Lag {
    match answers {
        Answers { fed: true, level: Some(true), silent, replayed } => {
            // Without the right to see it, the last transaction tells when something came.
            match silent.or(replayed) {
                Some(seconds) if seconds > bound.max(SILENCE).as_secs_f64() => silence(seconds),
                _ => Lag::seconds(0.0),
            }
        }
        Answers { fed: true, level: None, .. } => {
            Lag::Unknown("the replica has not heard yet how far its source is".to_owned())
        }
        Answers { fed: true, level: Some(false), replayed: None, .. } => {
            Lag::Unknown("the replica has replayed no transaction yet".to_owned())
        }
        Answers { replayed: Some(seconds), .. } => Lag::seconds(seconds.max(0.0)),
        Answers { fed: false, replayed: None, .. } => {
            Lag::Stopped("the replica has no primary, and never replayed a transaction".to_owned())
        }
    }
}

fn silence(seconds: f64) -> Lag {
    let time = humantime::format_duration(Duration::from_secs_f64(seconds.round()));
    Lag::Silent(format!(
        "the replica has heard of nothing new for {time}: its primary is idle, or the replica that \
         it follows is cut off"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn of(fed: bool, level: Option<bool>, silent: Option<f64>, replayed: Option<f64>) -> Lag {
        lag(Answers { fed, level, silent, replayed }, SECOND)
    }

    #[test]
    fn a_lag_is_known_while_the_receiver_is_connected_and_has_heard() {
        assert_eq!(of(true, Some(true), Some(1.0), Some(99.0)), Lag::seconds(0.0));
        assert_eq!(of(true, Some(true), Some(1.0), None), Lag::seconds(0.0));
        assert_eq!(of(true, Some(true), None, None), Lag::seconds(0.0), "no right to see");
        assert_eq!(of(true, Some(false), Some(1.0), Some(7.0)), Lag::seconds(7.0));
        assert_eq!(of(false, None, None, Some(7.0)), Lag::seconds(7.0));
        assert_eq!(of(false, None, None, Some(-1.0)), Lag::seconds(0.0), "another clock");
        for (level, replayed) in [(None, None), (None, Some(1.0)), (Some(false), None)] {
            assert!(matches!(of(true, level, Some(1.0), replayed), Lag::Unknown(_)), "{level:?}");
        }
        assert!(matches!(of(false, None, None, None), Lag::Stopped(_)));
    }

    #[test]
    fn a_silence_beyond_the_bound_leaves_the_lag_unknown() {
        let silent = |silent, replayed, bound: u64| {
            let answers = Answers { fed: true, level: Some(true), silent, replayed };
            matches!(lag(answers, Duration::from_secs(bound)), Lag::Silent(_))
        };
        for (seconds, bound, wanted) in
            [(19.0, 1, false), (21.0, 1, true), (21.0, 60, false), (61.0, 60, true)]
        {
            assert_eq!(silent(Some(seconds), Some(0.0), bound), wanted, "{seconds} of {bound}");
            assert_eq!(silent(None, Some(seconds), bound), wanted, "{seconds} of {bound}, unseen");
        }
    }
}
