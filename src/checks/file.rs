//! The `file` kind: whether a file exists, how old it is, and how large.

use std::fs::Metadata;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::checks::local::BlockingThread;
use crate::config::{ByteSize, ConfigPath, KindOptions, OptionError, Period};
use crate::engine::check::{Check, Context, Detail, Failure};
use crate::model::{Measurement, Reason};

static AGE: Measurement =
    Measurement { name: "file_age_seconds", help: "Time since the file was last written." };
static SIZE: Measurement = Measurement { name: "file_size_bytes", help: "Size of the file." };

/// Whether a file exists, and optionally its age and size.
///
/// Symbolic links are followed. A missing file fails the run with `other`, a file in a directory
/// without permission for this process with `auth_failed`. A directory counts as existing and has
/// an age, but no size.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileOptions {
    /// The file. A relative path is relative to the file that holds it.
    path: ConfigPath,
    /// Warn when it was last written longer ago than this, such as `"25h"`. Less than `max_age`.
    /// Default: no warning.
    warn_age: Option<Period>,
    /// Fail when it was last written longer ago than this. A time in the future counts as now.
    /// Default: any age is accepted.
    max_age: Option<Period>,
    /// Fail when it is smaller than this, such as `"1KiB"`. Default: it may be empty.
    min_size: Option<ByteSize>,
    /// Fail when it is larger than this. Default: any size is accepted.
    max_size: Option<ByteSize>,
}

impl KindOptions for FileOptions {
    const NAME: &'static str = "file";
    const SUMMARY: &'static str = "exists, age, size";
    const MEASUREMENTS: &'static [&'static Measurement] = &[&AGE, &SIZE];

    fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
        let Self { path: ConfigPath(path), warn_age, max_age, min_size, max_size } = self;
        let mut errors = Vec::new();
        if path.as_os_str().is_empty() {
            let text = "the path is empty; write one such as \"/var/backups/orders.sql\"";
            errors.push(OptionError::new("path", text));
        }
        if let (Some(warn), Some(max)) = (warn_age, max_age)
            && warn >= max
        {
            let text = format!("it fails first; write less than `max_age`, which is {max}");
            errors.push(OptionError::new("warn_age", text));
        }
        if let (Some(min), Some(max)) = (min_size, max_size)
            && max < min
        {
            let text = format!("no size will do; write at least `min_size`, which is {min}");
            errors.push(OptionError::new("max_size", text));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let path = path.into();
        Ok(Arc::new(File {
            path,
            thread: BlockingThread::default(),
            warn_age,
            max_age,
            min_size,
            max_size,
        }))
    }
}

struct File {
    path: Arc<Path>,
    thread: BlockingThread,
    warn_age: Option<Period>,
    max_age: Option<Period>,
    min_size: Option<ByteSize>,
    max_size: Option<ByteSize>,
}

#[async_trait]
impl Check for File {
    fn kind(&self) -> &'static str {
        FileOptions::NAME
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let (path, asked) = (self.path.display(), Arc::clone(&self.path));
        let found = self.thread.call(&path, move || look(&asked)).await?;
        let found = found.map_err(|error| {
            let text = format!("{path} cannot be looked at: {error}");
            Failure::new(reason(&error), text)
        })?;
        if let Some(age) = found.age {
            cx.measure(&AGE, age.as_secs_f64());
        }
        if let Some(size) = found.size {
            cx.measure(&SIZE, size.0 as f64);
        }
        self.judge(&found)
    }
}

impl File {
    fn judge(&self, found: &Found) -> Result<Detail, Failure> {
        let path = self.path.display();
        self.size(found)?;
        if self.max_age.is_none() && self.warn_age.is_none() {
            return Ok(Detail::ok());
        }
        let Some(age) = found.age else {
            let text = format!("the file system of {path} does not tell when it was written");
            return Err(Failure::new(Reason::Other, text));
        };
        let old = |limit: &Period| age > limit.0;
        // Rounded to seconds, to keep the message short.
        let written = humantime::format_duration(Duration::from_secs(age.as_secs()));
        if let Some(max) = self.max_age.filter(old) {
            let text = format!("{path} was written {written} ago, longer than max_age = {max}");
            return Err(Failure::new(Reason::OutOfRange, text));
        }
        let caveat = self
            .warn_age
            .filter(old)
            .map(|warn| format!("{path} was written {written} ago, longer than warn_age = {warn}"));
        Ok(caveat.map_or_else(Detail::ok, Detail::warning))
    }

    fn size(&self, found: &Found) -> Result<(), Failure> {
        let path = self.path.display();
        if self.min_size.is_none() && self.max_size.is_none() {
            return Ok(());
        }
        let wrong = |text| Err(Failure::new(Reason::OutOfRange, text));
        let Some(size) = found.size else {
            return wrong(format!("{path} is no regular file, so it has no size"));
        };
        if let Some(min) = self.min_size.filter(|min| size < *min) {
            return wrong(format!("{path} has {} bytes, less than min_size = {min}", size.0));
        }
        if let Some(max) = self.max_size.filter(|max| size > *max) {
            return wrong(format!("{path} has {} bytes, more than max_size = {max}", size.0));
        }
        Ok(())
    }
}

/// What was found at the path.
#[derive(Debug)]
struct Found {
    /// None where the file system keeps no times.
    age: Option<Duration>,
    /// `None` for anything but a regular file.
    size: Option<ByteSize>,
}

fn look(path: &Path) -> io::Result<Found> {
    let metadata = std::fs::metadata(path)?;
    let age = |written: SystemTime| written.elapsed().unwrap_or(Duration::ZERO);
    Ok(Found {
        age: metadata.modified().ok().map(age),
        size: Some(&metadata).filter(|m| m.is_file()).map(Metadata::len).map(ByteSize),
    })
}

/// The permissions of this process are not sufficient.
fn reason(error: &io::Error) -> Reason {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Reason::AuthFailed,
        _ => Reason::of_io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_permission_is_one_of_this_processes_credentials() {
        assert_eq!(reason(&io::Error::from_raw_os_error(13)), Reason::AuthFailed);
        assert_eq!(reason(&io::Error::from_raw_os_error(2)), Reason::Other);
        assert_eq!(reason(&io::Error::from_raw_os_error(12)), Reason::LocalResource);
    }
}
