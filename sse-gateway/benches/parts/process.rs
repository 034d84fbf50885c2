//! A part of the bench as a process: its start and end, and what Linux says about it and all its children.

use std::{
    collections::{HashMap, VecDeque},
    env, fs,
    io::{self, BufRead, BufReader, Write},
    process::{Child, ChildStdout, Command, Stdio, exit},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{Error, address::address_behind};

const STARTING_LIMIT: Duration = Duration::from_secs(20);

/// How long a part with children may take to end when asked, before it is killed.
const ENDING_LIMIT: Duration = Duration::from_secs(3);

/// What each part writes to standard error when it can be connected to.
const ANNOUNCEMENT: &str = "listening on http://";

/// Lines of standard error that are kept, to be shown should the part fail.
const LAST_WORDS: usize = 8;

/// A running part. It ends when this is dropped.
pub(crate) struct Process {
    name: String,
    child: Child,
    answers: Option<BufReader<ChildStdout>>,
    announced: mpsc::Receiver<String>,
    last_words: Arc<Mutex<VecDeque<String>>>,
}

impl Process {
    /// # Errors
    ///
    /// When the program cannot be run.
    pub(crate) fn start(name: &str, command: &mut Command) -> Result<Self, Error> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{name} cannot be run: {error}"))?;
        let stderr = child.stderr.take().expect("standard error is piped");
        let answers = child.stdout.take().map(BufReader::new);
        let (announce, announced) = mpsc::channel();
        let last_words = Arc::new(Mutex::new(VecDeque::new()));
        let words = last_words.clone();
        thread::spawn(move || {
            // Read to its end, so that a part which logs each stream never waits for us.
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Some(address) = address_behind(&line, ANNOUNCEMENT) {
                    // Nobody waits for it any more.
                    let _ = announce.send(address.to_string());
                }
                let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
                if words.len() == LAST_WORDS {
                    words.pop_front();
                }
                words.push_back(line);
            }
        });
        Ok(Self {
            name: name.to_owned(),
            child,
            answers,
            announced,
            last_words,
        })
    }

    /// Waits until the part says at which address it listens.
    ///
    /// # Errors
    ///
    /// When it ends, or says nothing for too long.
    pub(crate) fn address(&self) -> Result<String, Error> {
        self.announced
            .recv_timeout(STARTING_LIMIT)
            .map_err(|error| match error {
                mpsc::RecvTimeoutError::Disconnected => self.failure("ended before it listened"),
                mpsc::RecvTimeoutError::Timeout => self.failure("did not say where it listens"),
            })
    }

    /// Writes a line to the part's standard input, and waits for the line it answers with.
    ///
    /// # Errors
    ///
    /// When the part has ended.
    pub(crate) fn ask(&mut self, question: &str) -> Result<String, Error> {
        let mut answer = String::new();
        let (stdin, stdout) = (self.child.stdin.as_mut(), self.answers.as_mut());
        if let (Some(stdin), Some(stdout)) = (stdin, stdout) {
            let asked = writeln!(stdin, "{question}").and_then(|()| stdout.read_line(&mut answer));
            if asked.is_ok() && answer.ends_with('\n') {
                return Ok(answer.trim_end().to_owned());
            }
        }
        Err(self.failure(&format!("did not answer {question:?}")))
    }

    /// User and system time so far, in seconds, of the process and its children.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub(crate) fn cpu_seconds(&self) -> Result<f64, Error> {
        let ticks: u64 = self.tree()?.iter().map(|(_, ticks)| ticks).sum();
        Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Memory in KiB, pages shared with others divided among them, of the process and its children.
    ///
    /// # Errors
    ///
    /// When it has ended, or may not be looked into.
    pub(crate) fn memory_kib(&self) -> Result<u64, Error> {
        self.tree()?
            .iter()
            .map(|(pid, _)| proportional_set_size(*pid, "Pss:"))
            .sum()
    }

    /// What the process itself has allocated, in KiB. Pages of files are left out: they come and go with other processes.
    ///
    /// # Errors
    ///
    /// When it has ended, or may not be looked into.
    pub(crate) fn anonymous_kib(&self) -> Result<u64, Error> {
        proportional_set_size(self.child.id(), "Pss_Anon:")
    }

    /// How many descriptors the process itself has open.
    ///
    /// # Errors
    ///
    /// When it has ended, or may not be looked into.
    pub(crate) fn descriptors(&self) -> Result<usize, Error> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }

    /// The process and its children, each with the CPU time it used in clock ticks. The process itself comes first.
    fn tree(&self) -> Result<Vec<(u32, u64)>, Error> {
        let all = processes()?;
        let root = self.child.id();
        let Some(&Status {
            ticks,
            running: true,
            ..
        }) = all.get(&root)
        else {
            return Err(self.failure("has ended"));
        };
        let mut tree = vec![(root, ticks)];
        let mut next = 0;
        while let Some(&(parent, _)) = tree.get(next) {
            tree.extend(
                all.iter()
                    .filter(|(_, status)| status.parent == parent)
                    .map(|(pid, status)| (*pid, status.ticks)),
            );
            next += 1;
        }
        Ok(tree)
    }

    /// An error that ends with what the part itself said last.
    pub(crate) fn failure(&self, what: &str) -> Error {
        let words = self
            .last_words
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match *words.as_slice() {
            [] => format!("{} {what}", self.name).into(),
            _ => format!(
                "{} {what}; its last words were:\n{}",
                self.name,
                words.join("\n")
            )
            .into(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let tree = self.tree().unwrap_or_default();
        if tree.len() > 1 {
            // Let a parent take leave of its children, or they stay behind as zombies.
            send(tree[0].0, Signal::TERM);
            let asked = Instant::now();
            while asked.elapsed() < ENDING_LIMIT && matches!(self.child.try_wait(), Ok(None)) {
                thread::sleep(Duration::from_millis(5));
            }
        }
        // Parents first: one that lives would start its children again.
        for (pid, _) in self.tree().unwrap_or_default() {
            send(pid, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// Starts this executable again, as another part.
///
/// # Errors
///
/// When it cannot be run.
pub(crate) fn start_part(part: &str, arguments: &[&str]) -> Result<Process, Error> {
    Process::start(
        part,
        Command::new(env::current_exe()?).arg(part).args(arguments),
    )
}

fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended by itself.
        let _ = kill_process(pid, signal);
    }
}

/// Listens to the conductor, which may give orders, a line each. Ends this process when the conductor has gone and so
/// closed our standard input.
pub(crate) fn obey(order: impl Fn(&str) + Send + 'static) {
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            order(&line);
        }
        exit(0);
    });
}

/// The same for a part that knows no orders.
pub(crate) fn end_with_the_conductor() {
    obey(|_| {});
}

struct Status {
    parent: u32,
    ticks: u64,
    running: bool,
}

fn processes() -> io::Result<HashMap<u32, Status>> {
    let mut all = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // It may have ended since the folder was read.
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        all.extend(parse_stat(&stat).map(|status| (pid, status)));
    }
    Ok(all)
}

/// See proc_pid_stat(5). The second field is a name in parentheses that may hold anything.
fn parse_stat(stat: &str) -> Option<Status> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Status {
        running: !matches!(*fields.first()?, "Z" | "X"),
        parent: u32::try_from(number(4)?).ok()?,
        ticks: number(14)? + number(15)?,
    })
}

fn proportional_set_size(pid: u32, name: &str) -> Result<u64, Error> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let rollup = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let pss = rollup.lines().find_map(|line| line.strip_prefix(name));
    let kib = pss.and_then(|pss| pss.trim().strip_suffix(" kB")?.parse().ok());
    kib.ok_or_else(|| format!("{path} does not tell {name}").into())
}
