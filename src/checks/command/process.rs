//! Runs one process and kills its whole process group at the end.
//!
//! A thread starts it, waits for it and reaps it; meanwhile the run reads its output. Both can kill
//! the process group: the thread when the process has ended, the run when it is dropped. They
//! synchronise by [`Stage`], so that no group is killed whose number was reused by another process.

use std::future::pending;
use std::io::{self, PipeWriter};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, getpid, kill_process_group, waitid, waitpgid,
};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

use crate::checks::local::BlockingThread;
use crate::engine::check::Failure;

use super::hide::Line;

/// Longest part of the first line that is kept; everything after it is read and discarded.
const KEPT: usize = 4096;

/// How a process ended.
#[derive(Debug)]
pub(super) struct End {
    pub(super) pid: u32,
    /// Its exit code, or the signal that ended it.
    pub(super) how: Result<i32, i32>,
}

/// A process that is being started or runs; dropping it kills its group.
pub(super) struct Process {
    _leash: KillOnDrop,
    stdout: pipe::Receiver,
    stderr: pipe::Receiver,
    ended: oneshot::Receiver<io::Result<End>>,
}

impl Process {
    /// Starts `command`, which is shown as `name`, on a thread of `thread`.
    ///
    /// # Errors
    /// This process lacks a resource for it. If the program cannot be started, [`end`](Self::end)
    /// fails.
    pub(super) fn start(
        thread: &BlockingThread,
        name: &str,
        mut command: Command,
    ) -> Result<Self, Failure> {
        let (stdout, its_stdout) = output()?;
        let (stderr, its_stderr) = output()?;
        command.process_group(0).stdin(Stdio::null()).stdout(its_stdout).stderr(its_stderr);
        let leash = KillOnDrop::default();
        let stage = Arc::clone(&leash.0);
        let (sender, ended) = oneshot::channel();
        thread.start(&name, move |turn| {
            let end = live(command, &stage);
            // This comes before the end is sent, because the next run may follow at once.
            drop(turn);
            // If the run was cancelled, there is no receiver.
            let _ = sender.send(end);
        })?;
        Ok(Self { _leash: leash, stdout, stderr, ended })
    }

    /// Waits for its end and returns the first line that it wrote: to stdout, where monitoring
    /// plugins write their result, or to stderr if stdout is empty.
    pub(super) async fn end(mut self) -> (io::Result<End>, Option<Line>) {
        let (mut stdout, mut stderr) = (FirstLine::default(), FirstLine::default());
        let end = tokio::select! {
            biased;
            end = &mut self.ended => end,
            never = stdout.listen(&mut self.stdout) => match never {},
            never = stderr.listen(&mut self.stderr) => match never {},
        };
        stdout.rest(&self.stdout);
        stderr.rest(&self.stderr);
        let lost = |_| Err(io::Error::other("the thread that waited for it panicked"));
        (end.unwrap_or_else(lost), stdout.line().or_else(|| stderr.line()))
    }
}

/// A pipe for output: our end, and the program's.
fn output() -> io::Result<(pipe::Receiver, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    Ok((pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?, writer))
}

/// State of a process.
#[derive(Debug, Default)]
enum Stage {
    /// It is not started yet.
    #[default]
    Starting,
    /// It is not reaped yet, so its number cannot be reused.
    Running(Pid),
    /// It is over, or will be killed as soon as it is started.
    Over,
}

fn lock(stage: &Mutex<Stage>) -> MutexGuard<'_, Stage> {
    stage.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills the group now, or as soon as the process is started.
fn end(stage: &Mutex<Stage>) {
    let mut stage = lock(stage);
    if let Stage::Running(group) = *stage {
        // An error of kill is ignored: nothing else can be done.
        let _ = kill_process_group(group, Signal::KILL);
    }
    *stage = Stage::Over;
}

#[derive(Default)]
struct KillOnDrop(Arc<Mutex<Stage>>);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        end(&self.0);
    }
}

/// Starts the process, waits for it and reaps it.
fn live(mut command: Command, stage: &Mutex<Stage>) -> io::Result<End> {
    let mut child = command.spawn()?;
    // This also closes our copies of its ends of the pipes.
    drop(command);
    let group = Pid::from_child(&child);
    let cancelled = {
        let mut stage = lock(stage);
        let cancelled = matches!(*stage, Stage::Over);
        *stage = Stage::Running(group);
        cancelled
    };
    if cancelled {
        end(stage);
    }
    // It stays a zombie, which keeps its number, until its child processes are killed, too.
    let unreaped = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while waitid(WaitId::Pid(group), unreaped).is_err_and(|error| error == Errno::INTR) {}
    end(stage);
    let status = child.wait()?;
    if getpid().is_init() {
        // In a container the first process must reap the orphans.
        while waitpgid(group, WaitOptions::empty()).is_ok_and(|reaped| reaped.is_some()) {}
    }
    Ok(End { pid: child.id(), how: how(status) })
}

fn how(status: ExitStatus) -> Result<i32, i32> {
    // A process that has ended has an exit code or a signal.
    status.code().ok_or_else(|| status.signal().unwrap_or_default())
}

/// A type without values: the function never returns.
enum Never {}

/// The kept part of the first line of an output that is not empty.
#[derive(Default)]
struct FirstLine {
    text: Vec<u8>,
    /// Whether a line's end was seen.
    whole: bool,
    cut: bool,
}

impl FirstLine {
    /// Reads until it is dropped, so that the process never waits for a reader.
    async fn listen(&mut self, output: &mut pipe::Receiver) -> Never {
        let mut buffer = vec![0; KEPT];
        loop {
            match output.read(&mut buffer).await {
                Ok(0) | Err(_) => return pending().await,
                Ok(count) => self.take(&buffer[..count]),
            }
        }
    }

    /// Reads what is left in the pipe, because the runtime may not have been notified of it yet.
    fn rest(&mut self, output: &pipe::Receiver) {
        let mut buffer = vec![0; KEPT];
        // A child process that left the group may write forever.
        for _ in 0..64 {
            match rustix::io::read(output, &mut buffer[..]) {
                Ok(0) => break,
                Ok(count) => self.take(&buffer[..count]),
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                _ if self.whole => return,
                b'\n' if self.text.trim_ascii().is_empty() => self.text.clear(),
                b'\n' => self.whole = true,
                byte if self.text.len() < KEPT => self.text.push(*byte),
                _ => self.cut = true,
            }
        }
    }

    fn line(self) -> Option<Line> {
        let said = !self.text.trim_ascii().is_empty();
        said.then_some(Line { text: self.text, cut: self.cut })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(parts: &[&[u8]]) -> Option<Line> {
        let mut first = FirstLine::default();
        for part in parts {
            first.take(part);
        }
        first.line()
    }

    #[test]
    fn the_first_line_with_something_in_it_is_kept_however_it_comes() {
        let line = |text: &str| Some(Line { text: text.into(), cut: false });
        assert_eq!(first(&[b"\n \r\nde", b"ad\nbe", b"ef\n"]), line("dead"));
        assert_eq!(first(&[b"dead"]), line("dead"));
        assert_eq!(first(&[b"\n\n  \n"]), None);
        assert_eq!(first(&[]), None);
        let long = first(&[&vec![b'x'; 2 * KEPT], b"\nmore"]).expect("a line");
        assert_eq!((long.text.len(), long.cut), (KEPT, true));
    }
}
