//! `vitalsign backup`: a consistent copy of a history in SQLite, while the service runs.

use std::path::{Path, PathBuf};

use vitalsign::config::{HISTORY_FILE, HistoryPlace};
use vitalsign::history::backup;

use super::client::block_on;
use super::print;
use crate::exit::{IO, USAGE, fail};
use crate::reload::Source;
use crate::serve;

/// `vitalsign backup`
pub(crate) fn backup_history(config: Option<PathBuf>, to: &Path) -> u8 {
    let loaded = match serve::load(&Source::new(config, None)) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let from = match &loaded.settings.history.place {
        HistoryPlace::File(path) => path.clone(),
        HistoryPlace::Default => PathBuf::from(HISTORY_FILE),
        HistoryPlace::Off => return fail(USAGE, "no history is kept: `history.url` is \"off\""),
        HistoryPlace::Postgres(_) => {
            let message = format!(
                "the history is in PostgreSQL, which has a tool for this: pg_dump --format=custom \
                 --table='vitalsign_*' --file='{}' \"$HISTORY_URL\"; HISTORY_URL is the URL of \
                 `history.url`",
                to.display()
            );
            return fail(USAGE, &message);
        }
    };
    match block_on(backup(&from, to)) {
        Ok(Ok(bytes)) => print(&format!(
            "{} has the history in {}: {bytes} bytes\n",
            to.display(),
            from.display()
        )),
        Ok(Err(error)) => fail(IO, &error.to_string()),
        Err(code) => code,
    }
}
