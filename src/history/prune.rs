//! Deletes expired history, in small steps.
//!
//! Single runs are kept for 70 min and roll-ups of a minute for 48 h (or for `retention` if that is
//! shorter), and roll-ups of a day for 400 days at least. Everything else is kept for `retention`,
//! 30 days by default (`options.rs`).

use std::sync::Arc;

use super::connection::Connection;
use super::error::StoreError;
use super::rollup::{Millis, Width};
use super::shared::{Shared, now};
use super::value::Value;
use super::{heartbeats, reason_rows, write};

/// Slots of roll-ups of each width that one round deletes; one slot ends per minute.
const SLOTS: usize = 20;

/// How long single runs are kept: they are needed for the last hour.
const RUNS: Millis = 70 * 60_000;

/// How long the roll-ups of minutes are kept.
pub(super) const MINUTES: Millis = 48 * 3_600_000;

/// How long the roll-ups of days are kept at least: a year, and some weeks to compare it with. They are
/// small, and the page shows more days than the default retention has.
const DAYS: Millis = 400 * 86_400_000;

/// How long the roll-ups of `width` are kept.
fn kept_for(width: Width, retention: Millis) -> Millis {
    match width {
        Width::Minute => retention.min(MINUTES),
        Width::Hour => retention,
        Width::Day => retention.max(DAYS),
    }
}

/// Deletes the data of this instance that is older than `retention`.
pub(super) async fn delete_expired(
    conn: &mut Connection,
    instance: i64,
    retention: Millis,
) -> Result<(), StoreError> {
    let now = now();
    let sql = "DELETE FROM vitalsign_runs WHERE instance_id = $1 AND at < $2";
    conn.execute(sql, &[instance.into(), (now - RUNS).into()]).await?;
    for width in [Width::Minute, Width::Hour, Width::Day] {
        // A period that began before the limit but ends after it stays.
        let before = now - kept_for(width, retention) - width.millis();
        prune_rollups(conn, instance, width, before).await?;
        // Why runs of a day failed is kept no longer than the incidents of that day.
        let before = now - kept_for(width, retention).min(retention) - width.millis();
        reason_rows::prune(conn, instance, width, before).await?;
    }
    for sql in [
        "DELETE FROM vitalsign_changes WHERE instance_id = $1 AND at < $2",
        "DELETE FROM vitalsign_incidents WHERE instance_id = $1 AND ended < $2",
    ] {
        conn.execute(sql, &[instance.into(), (now - retention).into()]).await?;
    }
    Ok(())
}

async fn prune_rollups(
    conn: &mut Connection,
    instance: i64,
    width: Width,
    before: Millis,
) -> Result<(), StoreError> {
    for _ in 0..SLOTS {
        let sql = "SELECT min(start) FROM vitalsign_rollups WHERE instance_id = $1 AND width = $2";
        let key: [Value; 2] = [instance.into(), width.millis().into()];
        let rows = conn.fetch(sql, &key).await?;
        let oldest = rows.first().map_or(Ok(None), |row| row.maybe_int(0))?;
        let Some(start) = oldest.filter(|start| *start <= before) else { return Ok(()) };
        let sql = "DELETE FROM vitalsign_rollups \
                   WHERE instance_id = $1 AND width = $2 AND start = $3";
        let [instance, width] = key;
        conn.execute(sql, &[instance, width, start.into()]).await?;
    }
    Ok(())
}

/// Deletes the data of instances of this service that do not exist any more, and of removed checks.
pub(super) async fn delete_leftovers(
    conn: &mut Connection,
    shared: &Shared,
    instance: i64,
    retention: Millis,
) -> Result<(), StoreError> {
    // A running instance records its checks once an hour.
    let gone = now() - retention.max(Width::Day.millis());
    let asked: Vec<Arc<str>> = shared.aggregates().of.keys().cloned().collect();
    write::touch_checks(conn, instance, &asked).await?;
    let sql = "SELECT id FROM vitalsign_instances WHERE service = $1 AND id <> $2";
    let service = shared.options.service.as_str();
    for row in conn.fetch(sql, &[service.into(), instance.into()]).await? {
        delete_gone_instance(conn, row.int(0)?, retention).await?;
    }
    let sql = "SELECT instance_id, id FROM vitalsign_checks WHERE seen < $1 AND instance_id IN \
               (SELECT id FROM vitalsign_instances WHERE service = $2)";
    for row in conn.fetch(sql, &[gone.into(), service.into()]).await? {
        forget(conn, row.int(0)?, row.int(1)?).await?;
    }
    // A running instance updates its row with every flush, even before it has checks.
    let gone_instances = "FROM vitalsign_instances WHERE service = $1 AND rolled_up_to < $2 \
                          AND NOT EXISTS (SELECT 1 FROM vitalsign_checks \
                          WHERE instance_id = vitalsign_instances.id)";
    let days =
        format!("DELETE FROM vitalsign_rollups WHERE instance_id IN (SELECT id {gone_instances})");
    conn.execute(&days, &[service.into(), gone.into()]).await?;
    conn.execute(&format!("DELETE {gone_instances}"), &[service.into(), gone.into()]).await?;
    heartbeats::prune(conn, instance, gone).await?;
    reason_rows::prune_orphans(conn).await
}

/// Deletes a check that is asked no longer. Its days would be kept for longer than all else of it, and
/// nobody could find them.
async fn forget(conn: &mut Connection, instance: i64, check: i64) -> Result<(), StoreError> {
    let sql = "DELETE FROM vitalsign_rollups \
               WHERE instance_id = $1 AND width = $2 AND check_id = $3";
    let day = Width::Day.millis();
    conn.execute(sql, &[instance.into(), day.into(), check.into()]).await?;
    conn.execute("DELETE FROM vitalsign_checks WHERE id = $1", &[check.into()]).await?;
    Ok(())
}

/// Deletes expired data of another instance, which may not exist any more. Single runs that are not
/// in roll-ups yet stay, because that instance may start again.
async fn delete_gone_instance(
    conn: &mut Connection,
    instance: i64,
    retention: Millis,
) -> Result<(), StoreError> {
    let now = now();
    for width in [Width::Minute, Width::Hour, Width::Day] {
        let kept = match width {
            Width::Minute => kept_for(width, retention).max(Width::Day.millis()),
            Width::Hour | Width::Day => kept_for(width, retention),
        };
        let sql = "DELETE FROM vitalsign_rollups \
                   WHERE instance_id = $1 AND width = $2 AND start < $3";
        let before = now - kept - width.millis();
        conn.execute(sql, &[instance.into(), width.millis().into(), before.into()]).await?;
        reason_rows::prune(conn, instance, width, before).await?;
    }
    for sql in [
        "DELETE FROM vitalsign_runs WHERE instance_id = $1 AND at < $2",
        "DELETE FROM vitalsign_changes WHERE instance_id = $1 AND at < $2",
        "DELETE FROM vitalsign_incidents WHERE instance_id = $1 AND ended < $2",
    ] {
        conn.execute(sql, &[instance.into(), (now - retention).into()]).await?;
    }
    Ok(())
}
