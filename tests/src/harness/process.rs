//! One process: what it says is collected, and it ends when its owner does.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take before a test fails: a loaded machine of two cores is slow, a hang is longer.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A process that was started here. Dropped, it is killed.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    said: Arc<Said>,
    readers: Vec<JoinHandle<()>>,
}

/// Lines of both outputs, in the order they came.
#[derive(Debug, Default)]
struct Said {
    lines: Mutex<Vec<String>>,
    changed: Condvar,
}

/// A process that has ended.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// Everything it said.
    pub text: String,
}

impl Process {
    /// Starts it.
    ///
    /// # Panics
    /// When the program cannot be run.
    pub fn start(mut command: Command, name: &str) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let said = Arc::<Said>::default();
        let (stdout, stderr) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let readers = vec![read(stdout, &said), read(stderr, &said)];
        Self { name: name.to_owned(), child, said, readers }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it said so far.
    pub fn text(&self) -> String {
        self.said.lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// Waits for a line that contains `words` and returns it.
    ///
    /// # Panics
    /// When none comes in time or the process ends before, with everything it said.
    pub fn wait_for(&self, words: &str, patience: Duration) -> String {
        let deadline = Instant::now() + patience;
        let mut lines = self.said.lines.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(line) = lines.iter().find(|line| line.contains(words)) {
                return line.clone();
            }
            let has_ended = self.readers.iter().all(JoinHandle::is_finished);
            assert!(!has_ended && Instant::now() < deadline, "{} never said \"{words}\"; it said:\n{}", self.name, lines.join("\n"));
            let tick = Duration::from_millis(100);
            lines = self.said.changed.wait_timeout(lines, tick).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process is not there any more.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).unwrap_or_else(|error| panic!("{} cannot be signalled: {error}", self.name));
    }

    /// Asks it to stop (SIGTERM) and waits for its end.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn stop(self) -> Ended {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end in time, with everything it said.
    pub fn ended(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait().expect("a child of this process") {
                Some(status) => break status,
                None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
                None => panic!("{} does not end; it said:\n{}", self.name, self.text()),
            }
        };
        self.readers.drain(..).for_each(|reader| reader.join().expect("a reader of a pipe"));
        Ended { status, text: self.text() }
    }

    /// Ends it at once (SIGKILL).
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself. The readers end with the pipes.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(pipe: impl Read + Send + 'static, said: &Arc<Said>) -> JoinHandle<()> {
    let said = Arc::clone(said);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            said.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            said.changed.notify_all();
        }
    })
}
