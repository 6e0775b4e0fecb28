//! A [`Plan`] → a child that runs its program, or one sentence about why it could not start.

use std::cell::RefCell;
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Gid, Pid, Resource, Rlimit, Uid, getegid, geteuid, getrlimit};

use super::super::kernel::{self, Birth, Stack, Step};
use super::super::lane::Turns;
use super::super::root::Root;
use super::super::watch::{self, Watched};
use crate::limits::{
    CHILD_ADDRESS_BYTES, CHILD_CPU_SECS, CHILD_FILE_BYTES, CHILD_OPEN_FILES, CHILD_PROCESSES, TOOL_FILE_BYTES,
};

/// The only variable that every child has.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What to run, and within which bounds.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The program by its absolute path, then its arguments. No shell sees them.
    pub argv: Vec<String>,
    /// The whole environment, besides a fixed `PATH` if it names none.
    pub env: Vec<(String, String)>,
    /// The working directory, absolute.
    pub cwd: String,
    /// What the child may read; when empty, it reads from /dev/null.
    pub stdin: Vec<u8>,
    /// Whom it runs as; without, as the gateway does.
    pub user: Option<Identity>,
    /// What it may use.
    pub rlimits: Rlimits,
    /// How much of each stream is kept, in bytes; the middle of a longer one is dropped.
    pub output_bytes: usize,
    /// From the start to its end; then it is ended.
    pub timeout: Duration,
    /// What is free again when nothing is left of the child.
    pub turns: Option<Turns>,
}

/// A user of this system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The user's number.
    pub uid: u32,
    /// The number of the user's own group.
    pub gid: u32,
}

/// What a child, and each of its own children, may use at most. `None` leaves a limit as the gateway's is; none is ever
/// raised above that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rlimits {
    /// Seconds of processor time; beyond it SIGXCPU, and SIGKILL a second later.
    pub cpu_s: Option<u64>,
    /// Bytes of address space; beyond it the child gets no more memory.
    pub address_bytes: Option<u64>,
    /// Bytes of a file that it writes; beyond it SIGXFSZ.
    pub file_bytes: Option<u64>,
    /// Processes and threads of the user it runs as, all over the system; beyond it nothing more starts. Not for root.
    pub processes: Option<u64>,
    /// Open descriptors; beyond it nothing more opens.
    pub open_files: Option<u64>,
}

impl Default for Rlimits {
    fn default() -> Rlimits {
        Rlimits {
            cpu_s: Some(CHILD_CPU_SECS),
            address_bytes: Some(CHILD_ADDRESS_BYTES),
            file_bytes: Some(CHILD_FILE_BYTES),
            processes: Some(CHILD_PROCESSES),
            open_files: Some(CHILD_OPEN_FILES),
        }
    }
}

/// Looks `name` up in /etc/passwd. No other source is asked: that could take for ever.
///
/// # Errors
/// Says that there is no such user.
pub fn identity(root: &Root, name: &str) -> Result<Identity, String> {
    let passwd = root.read("/etc/passwd", TOOL_FILE_BYTES).unwrap_or_default();
    passwd
        .split(|byte| *byte == b'\n')
        .find_map(|line| {
            let mut fields =
                line.split(|byte| *byte == b':').map(|field| std::str::from_utf8(field).unwrap_or_default());
            (fields.next()? == name && !name.is_empty()).then_some(())?;
            Some(Identity { uid: fields.nth(1)?.parse().ok()?, gid: fields.next()?.parse().ok()? })
        })
        .ok_or_else(|| ["no user ", name, " in /etc/passwd"].concat())
}

/// A child that has begun.
pub(super) struct Born {
    pub pid: Pid,
    pub stdin: Option<Box<dyn Watched>>,
    pub streams: [Box<dyn Watched>; 2],
}

/// Starts the program of `plan`. `kept` is what the last one that started found to hold for all: asking again costs a
/// system call for each limit and signal. A failure forgets it, in case somebody has lowered a limit of ours.
///
/// # Errors
/// One sentence, without a path, about why it could not start.
pub(super) fn start(plan: &Plan, kept: &RefCell<Option<Common>>) -> Result<Born, String> {
    let absolute = |path: &str| path.starts_with('/');
    if !plan.argv.first().is_some_and(|program| absolute(program)) || !absolute(&plan.cwd) {
        return Err(String::from("the program and its working directory must be absolute paths"));
    }
    let mut argv = Vec::new();
    for argument in &plan.argv {
        argv.push(c_text(argument)?);
    }
    let env = environment(&plan.env)?;
    let cwd = c_text(&plan.cwd)?;
    let user = user(plan.user)?;
    let mut common = match kept.take() {
        Some(common) => common,
        None => common().map_err(|error| sentence(plan, Step::Birth, error))?,
    };
    let born = bear(plan, &argv, &env, &cwd, user, &mut common).map_err(|(step, error)| sentence(plan, step, error))?;
    kept.replace(Some(common));
    Ok(born)
}

fn bear(
    plan: &Plan,
    argv: &[CString],
    env: &[CString],
    cwd: &CStr,
    user: Option<(Uid, Gid)>,
    common: &mut Common,
) -> Result<Born, (Step, Errno)> {
    let pipes = || -> rustix::io::Result<_> {
        let (stdin, input) = if plan.stdin.is_empty() {
            (None, None)
        } else {
            let (input, ours) = pipe_with(PipeFlags::CLOEXEC)?;
            (Some(watch(ours)?), Some(input))
        };
        let (ours, output) = pipe_with(PipeFlags::CLOEXEC)?;
        let (ours_too, complaints) = pipe_with(PipeFlags::CLOEXEC)?;
        Ok((stdin, input, [watch(ours)?, watch(ours_too)?], output, complaints))
    };
    let (stdin, input, streams, output, complaints) = pipes().map_err(|error| (Step::Birth, error))?;
    let stdio = [input.as_ref().unwrap_or(&common.nothing).as_raw_fd(), output.as_raw_fd(), complaints.as_raw_fd()];
    let (limits, signals) = (&limits(&plan.rlimits, common), common.signals);
    let pid = kernel::spawn(&Birth { argv, env, cwd, stdio, user, limits, signals }, &mut common.stack)?;
    Ok(Born { pid, stdin, streams })
}

/// Our end of a pipe. Only ours is made non-blocking, which a pipe cannot be born as.
fn watch(ours: OwnedFd) -> rustix::io::Result<Box<dyn Watched>> {
    rustix::io::ioctl_fionbio(&ours, true)?;
    watch::descriptor(ours).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::MFILE))
}

fn c_text(text: &str) -> Result<CString, String> {
    CString::new(text).map_err(|_| String::from("a NUL byte can be in no argument, path or variable"))
}

fn environment(declared: &[(String, String)]) -> Result<Vec<CString>, String> {
    let mut env = Vec::new();
    if !declared.iter().any(|(name, _)| name == "PATH") {
        env.push(c_text(PATH)?);
    }
    for (name, value) in declared {
        if name.is_empty() || name.contains('=') {
            return Err(String::from("the name of a variable can neither be empty nor have an equals sign in it"));
        }
        env.push(c_text(&[name, "=", value].concat())?);
    }
    Ok(env)
}

/// Whom to become, if it is not who we are.
fn user(wanted: Option<Identity>) -> Result<Option<(Uid, Gid)>, String> {
    let Some(Identity { uid, gid }) = wanted else { return Ok(None) };
    // The number that means "leave it as it is" to the kernel is nobody's.
    if uid == u32::MAX || gid == u32::MAX {
        return Err(String::from("there is no user with that number"));
    }
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    match (geteuid(), getegid()) {
        (own, _) if own.is_root() => Ok(Some((uid, gid))),
        own if own == (uid, gid) => Ok(None),
        _ => Err(String::from("only a gateway that runs as root can start a program as another user")),
    }
}

/// What is limited.
const RESOURCES: [Resource; 6] =
    [Resource::Core, Resource::Cpu, Resource::As, Resource::Fsize, Resource::Nproc, Resource::Nofile];

/// What holds for every child, because of what this process is.
#[derive(Debug)]
pub(in super::super) struct Common {
    /// What we may use ourselves of each of [`RESOURCES`].
    most: [u64; RESOURCES.len()],
    /// The signals that must be set back to their defaults.
    signals: u64,
    /// /dev/null, for whoever is given nothing to read.
    nothing: OwnedFd,
    /// What each begins on.
    stack: Stack,
}

fn common() -> rustix::io::Result<Common> {
    let most = RESOURCES.map(|resource| getrlimit(resource).maximum.unwrap_or(u64::MAX));
    let nothing = rustix::fs::open(c"/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(Common { most, signals: kernel::changed(), nothing, stack: Stack::new() })
}

/// What the kernel is to be told: no more than what was asked for, nor than we may use ourselves.
fn limits(wanted: &Rlimits, common: &Common) -> Vec<(Resource, Rlimit)> {
    let wanted = [
        // Who reads a crash's memory reads its secrets.
        Some(0),
        wanted.cpu_s,
        wanted.address_bytes,
        wanted.file_bytes,
        wanted.processes,
        wanted.open_files,
    ];
    let all = RESOURCES.into_iter().zip(wanted).zip(common.most);
    let limit = |((resource, wanted), most): ((Resource, Option<u64>), u64)| {
        let wanted = wanted?;
        // First a signal that the child may tell of, then the end.
        let more = u64::from(resource == Resource::Cpu);
        let maximum = Some(wanted.saturating_add(more).min(most));
        Some((resource, Rlimit { current: Some(wanted.min(most)), maximum }))
    };
    all.filter_map(limit).collect()
}

/// Why it could not start, for whoever declared the program.
fn sentence(plan: &Plan, step: Step, error: Errno) -> String {
    let known = match (step, error) {
        (_, Errno::MFILE | Errno::NFILE) => "too many files are open",
        (_, Errno::NOMEM) => "there is not enough memory to start a program",
        (Step::Birth, Errno::AGAIN) => "there are too many processes to start another",
        (Step::Birth, _) => "no process could be made",
        (Step::Folder, Errno::NOENT) => "the working directory is not there",
        (Step::Folder, Errno::NOTDIR) => "the working directory is no directory",
        (Step::Folder, _) => "the working directory may not be entered",
        (Step::Limits, _) => "the limits of the program could not be set",
        (Step::User, _) => "the gateway may not start a program as that user",
        (Step::Program, Errno::NOENT | Errno::NOTDIR) if there(plan) => "the program's interpreter is not there",
        (Step::Program, Errno::NOENT | Errno::NOTDIR) => "the program is not there",
        (Step::Program, Errno::ACCESS) => "the program may not be executed",
        (Step::Program, Errno::NOEXEC) => "the program is none that this system can run",
        (Step::Program, Errno::TOOBIG) => "the arguments are longer than this system allows",
        (Step::Program, Errno::TXTBSY) => "the program is being written",
        (Step::Program, Errno::AGAIN) => "the program's user has too many processes",
        (Step::Program, _) => "the program could not be started",
    };
    String::from(known)
}

fn there(plan: &Plan) -> bool {
    plan.argv.first().is_some_and(|program| rustix::fs::stat(program.as_str()).is_ok())
}
