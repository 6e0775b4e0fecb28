//! What only raw system calls do: ask whether somebody keeps the clock, start a child, close or keep what was inherited.
//!
//! `unsafe` is argued here and, for questions to GPIO chips, in `ioctl`; it stands nowhere else in the program.
//!
//! **adjtimex(2)** with `modes == 0` changes nothing and needs no privilege; neither std nor rustix offers it. It reads
//! and fills one `timex` that lives on this stack frame, that is all zeros before (a valid value of this plain C struct
//! of integers), and to which nothing else holds a reference.
//!
//! **A child** is started the way posix_spawn(3) does it in both C libraries: clone(2) with `CLONE_VM | CLONE_VFORK`.
//! Until the child has its own program, or has ended, it runs in our memory, on a stack of its own, and the thread that
//! made it does not run. posix_spawn itself cannot limit resources nor take privileges away, and `pre_exec` of std means
//! fork(2), which copies our page tables: a quarter more time for a small program, and more with every page we hold.
//! What makes this sound:
//!
//! - The child's function reads one [`Seed`], which the sleeping thread keeps alive, and writes nothing of ours. What
//!   failed it says through a pipe, which also holds where an emulator makes a fork of it.
//! - Other threads (async-io's helper, a thread that asks a file system) do run. So the child takes no lock and no
//!   memory: it makes system calls, through rustix or `syscall(2)`, over slices that were made before. It does not
//!   index, add or unwrap, so there is nothing in it that could panic; it ends by exec or `_exit` and runs no destructor.
//!   `errno` is the sleeping thread's, which does not rely on it.
//! - No signal handler of ours runs in the child: all signals are blocked from before the clone until the child has set
//!   to its default every disposition that is another one here. Handlers here write to pipes that the child still shares.
//!   Exec would reset what is caught, but not what is ignored, and only after signals come again. Which signals these
//!   are is asked once, before the first start: what we inherited as ignored does not change, std has caught and ignored its
//!   own before `main`, and what this program catches later is [`OURS`]. Debug builds ask again at each start. The C
//!   libraries' own signals (32 to 34), which cannot be blocked, are sent by no call that this program makes.
//! - User and group are set by the raw calls, which change this one task; the C library's would tell all threads. The
//!   kernel marks memory as not to be looked at when its user changes, so the new one sees nothing of ours.
//! - The stack has [`CHILD_STACK_BYTES`], several times what these calls take, and is 16-aligned, as every ABI asks. The
//!   next child takes the same: nobody is on it any more when the sleeping thread goes on.
//!
//! **setsockopt(2)** with `SO_BINDTODEVICE` only reads the name that it is given with its length; **getsockopt(2)** with
//! `SO_PEERCRED` fills one `ucred` on this stack frame, at most its length. rustix has the latter, but not for a peer in
//! another PID namespace, whose number is zero.
//!
//! **close_range(2)** with `CLOSE_RANGE_CLOEXEC`, and fcntl(2) with `F_SETFD`, only mark descriptors to be closed at
//! exec: no owner of one can notice. **signal(2)** sets a default, which is no function of ours. **rt_sigaction(2)**
//! without a new disposition only tells the present one, in at most half the room that it is given. **clock_gettime64(2)**
//! fills two words of 64 bits on this stack frame.
//!
//! **A descriptor that was inherited** gets its one owner in [`inherit`]. Nobody here owns it before: this program owns what
//! it opens itself, which is nothing yet when sockets are asked for, first of all in its life, and asked for a second
//! time there are none. A number at which nothing is open fails `F_SETFD` and gets no owner.
#![allow(unsafe_code)]

use std::convert::Infallible;
use std::ffi::{CStr, CString, c_char, c_int, c_long, c_uint, c_void};
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Gid, Pid, Resource, Rlimit, Signal, Uid, WaitOptions};
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::limits::CHILD_STACK_BYTES;

/// Whether the kernel believes that the clock is kept in time; `None` when it will not say (a sandbox denies the call).
///
/// Source: adjtimex(2), `STA_UNSYNC`.
pub(super) fn synchronized() -> Option<bool> {
    // SAFETY: see the head of this file.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: see the head of this file.
    let state = unsafe { libc::adjtimex(&mut timex) };
    if state < 0 { None } else { Some(timex.status & libc::STA_UNSYNC == 0) }
}

/// Lets a socket hear and speak on one network interface only.
///
/// # Errors
/// When there is no such interface, or the kernel wants a privilege for this (before Linux 5.7: CAP_NET_RAW).
///
/// Source: socket(7), `SO_BINDTODEVICE`.
pub fn bind_to_device(socket: BorrowedFd<'_>, interface: &str) -> std::io::Result<()> {
    let length = libc::socklen_t::try_from(interface.len()).unwrap_or(libc::socklen_t::MAX);
    // SAFETY: see the head of this file.
    let state = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_BINDTODEVICE, interface.as_ptr().cast(), length)
    };
    if state == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// The user at the other end of a Unix socket, as it was when it connected.
///
/// Source: socket(7), `SO_PEERCRED`.
pub fn peer_user(socket: BorrowedFd<'_>) -> Option<u32> {
    let mut peer = libc::ucred { pid: 0, uid: libc::uid_t::MAX, gid: libc::gid_t::MAX };
    let mut length = libc::socklen_t::try_from(size_of::<libc::ucred>()).ok()?;
    // SAFETY: see the head of this file.
    let state = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            ptr::from_mut(&mut peer).cast(),
            &mut length,
        )
    };
    (state == 0).then_some(peer.uid)
}

/// The wall clock.
#[cfg(not(target_arch = "mips"))]
pub(super) fn wall() -> Timespec {
    clock_gettime(ClockId::Realtime)
}

/// The wall clock. Not through the C library, whose seconds have 32 bits here: from 2038 on rustix would panic.
#[cfg(target_arch = "mips")]
pub(super) fn wall() -> Timespec {
    // Of o32; the `libc` crate has it for newer processors only.
    const CLOCK_GETTIME64: c_long = 4403;
    let mut time = [0_i64; 2];
    // SAFETY: see the head of this file.
    let state = unsafe { libc::syscall(CLOCK_GETTIME64, c_long::from(libc::CLOCK_REALTIME), time.as_mut_ptr()) };
    let [tv_sec, tv_nsec] = time;
    // Linux before 5.1 knows no later time either.
    if state == 0 { Timespec { tv_sec, tv_nsec } } else { clock_gettime(ClockId::Realtime) }
}

/// The first descriptor that is not standard input, output or error.
const FIRST: c_uint = 3;

/// Marks every descriptor but the standard three to be closed at exec.
fn close_at_exec() -> bool {
    // SAFETY: see the head of this file.
    unsafe { libc::syscall(libc::SYS_close_range, FIRST, c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) == 0 }
}

/// Makes sure that no child inherits what this process inherited, and that the end of a child is told: whoever started
/// us may have ignored SIGCHLD, and then the kernel reaps children by itself and forgets how they ended.
pub(super) fn disinherit() {
    if !close_at_exec() {
        // Linux before 5.11. What we open ourselves is marked as it is opened; an inherited one has a low number.
        for descriptor in 3..256 {
            // SAFETY: see the head of this file.
            unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    // SAFETY: see the head of this file.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// The first `count` descriptors behind the standard three, from now on closed at exec; fewer where one is not open. To be
/// called before this program opens anything; only the first call finds any.
pub(crate) fn inherit(count: usize) -> Vec<OwnedFd> {
    static DONE: AtomicBool = AtomicBool::new(false);
    let mut found = Vec::with_capacity(count);
    if !DONE.swap(true, Ordering::Relaxed) {
        for descriptor in (3..).take(count) {
            // SAFETY: see the head of this file.
            if unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) } != 0 {
                break;
            }
            // SAFETY: see the head of this file: it is open, and nobody else's.
            found.push(unsafe { OwnedFd::from_raw_fd(descriptor) });
        }
    }
    found
}

/// The stack that one child at a time begins on.
#[derive(Debug)]
pub(super) struct Stack(Vec<u8>);

impl Stack {
    pub(super) fn new() -> Stack {
        Stack(Vec::with_capacity(CHILD_STACK_BYTES))
    }
}

/// What a child is to be.
pub(super) struct Birth<'a> {
    /// The program's absolute path and its arguments.
    pub argv: &'a [CString],
    /// `NAME=value` each.
    pub env: &'a [CString],
    pub cwd: &'a CStr,
    /// What becomes its descriptors 0, 1 and 2. None of them is one of those here: std opens those three at start.
    pub stdio: [c_int; 3],
    /// Whom it runs as, without any other groups.
    pub user: Option<(Uid, Gid)>,
    pub limits: &'a [(Resource, Rlimit)],
    /// What [`changed`] says.
    pub signals: u64,
}

/// What failed at a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Making the process, or a pipe to it.
    Birth,
    /// Entering the working directory.
    Folder,
    /// Setting limits, or taking privileges away.
    Limits,
    /// Starting the program itself.
    Program,
    /// Becoming another user.
    User,
}

impl Step {
    const ALL: [Step; 5] = [Step::Birth, Step::Folder, Step::Limits, Step::Program, Step::User];
}

/// What the child reads.
struct Seed<'a> {
    birth: &'a Birth<'a>,
    argv: *const *const c_char,
    env: *const *const c_char,
    parent: Pid,
    /// Where it says what failed. Closed at exec.
    complaint: BorrowedFd<'a>,
}

/// Starts a child in a process group of its own. It is killed when this thread ends, adopts what its own children
/// leave behind, and can gain no privileges. Returns when the program has begun.
///
/// # Errors
/// The step that failed; then there is no child.
pub(super) fn spawn(birth: &Birth<'_>, stack: &mut Stack) -> Result<Pid, (Step, Errno)> {
    let (argv, env) = (pointers(birth.argv), pointers(birth.env));
    let (answer, complaint) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| (Step::Birth, error))?;
    let parent = rustix::process::getpid();
    debug_assert!(changed() & !birth.signals == 0, "OURS is short of a signal");
    let seed = Seed { birth, argv: argv.as_ptr(), env: env.as_ptr(), parent, complaint: complaint.as_fd() };
    let pid = clone(&seed, stack).map_err(|error| (Step::Birth, error))?;
    drop(complaint);
    let mut said = [0_u8; 2];
    // The one other end is closed by now: nothing to read means that the program has begun.
    if rustix::io::retry_on_intr(|| rustix::io::read(&answer, &mut said)) != Ok(said.len()) {
        return Ok(pid);
    }
    let [step, error] = said;
    // It has ended, or is just about to.
    _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
    let step = Step::ALL.into_iter().find(|known| *known as u8 == step);
    Err((step.unwrap_or(Step::Birth), Errno::from_raw_os_error(error.into())))
}

/// Makes the process that runs [`begin`].
fn clone(seed: &Seed<'_>, stack: &mut Stack) -> rustix::io::Result<Pid> {
    let top = stack.0.as_mut_ptr().wrapping_add(CHILD_STACK_BYTES);
    let top = top.wrapping_sub(top.addr() % 16);
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: see the head of this file. The sets are plain integers, and `before` is filled before it is read.
    unsafe {
        let (mut all, mut before): (libc::sigset_t, libc::sigset_t) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        let born = libc::clone(begin, top.cast(), flags, ptr::from_ref(seed).cast_mut().cast());
        // Without a failure nobody has set it, and it may be none.
        let error = *libc::__errno_location();
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut());
        Pid::from_raw(born.max(0)).ok_or_else(|| Errno::from_raw_os_error(error))
    }
}

/// The list as C wants it, with an end.
fn pointers(texts: &[CString]) -> Vec<*const c_char> {
    texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
}

/// The child's first and only function.
extern "C" fn begin(seed: *mut c_void) -> c_int {
    // SAFETY: see the head of this file: it is the seed that `spawn` keeps while it waits.
    let seed = unsafe { &*seed.cast::<Seed<'_>>() };
    let Err((step, error)) = turn_into(seed);
    // Linux has no error beyond 255 that a caller can meet.
    _ = rustix::io::write(seed.complaint, &[step as u8, error.raw_os_error() as u8]);
    // SAFETY: ends this process only.
    unsafe { libc::_exit(127) }
}

/// Makes of this process what was asked for. Order matters. Signals may come only when none of them runs our code. From
/// the moment it is another user's, that user may stop it, and we would wait: little is left to do then. A new user
/// forgets the signal at the parent's death, so that comes last.
fn turn_into(seed: &Seed<'_>) -> Result<Infallible, (Step, Errno)> {
    let birth = seed.birth;
    for (number, descriptor) in (0..).zip(birth.stdio) {
        // SAFETY: both are descriptors of this process, whose table is a copy.
        if unsafe { libc::dup2(descriptor, number) } < 0 {
            return Err((Step::Birth, Errno::BADF));
        }
    }
    rustix::process::setpgid(None, None).map_err(|error| (Step::Birth, error))?;
    confine(birth.limits).map_err(|error| (Step::Limits, error))?;
    rustix::process::chdir(birth.cwd).map_err(|error| (Step::Folder, error))?;
    close_at_exec();
    reset_signals(birth.signals);
    if let Some((uid, gid)) = birth.user {
        become_user(uid, gid).map_err(|error| (Step::User, error))?;
    }
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| (Step::Limits, error))?;
    if rustix::process::getppid() != Some(seed.parent) {
        // Killed a moment ago, so that nobody will tell.
        return Err((Step::Birth, Errno::CHILD));
    }
    // SAFETY: both lists end in null, and their texts live in `spawn`.
    unsafe { libc::execve(seed.argv.read(), seed.argv, seed.env) };
    // SAFETY: errno, which belongs to this thread or to the one that sleeps.
    Err((Step::Program, Errno::from_raw_os_error(unsafe { *libc::__errno_location() })))
}

fn confine(limits: &[(Resource, Rlimit)]) -> rustix::io::Result<()> {
    for (resource, limit) in limits {
        rustix::process::setrlimit(*resource, *limit)?;
    }
    rustix::thread::set_no_new_privs(true)?;
    // What its children leave behind stays below it while it lives, and comes to us when it ends. Every Linux since 3.4
    // does so; emulators of programs do not, and the group is killed there all the same.
    _ = rustix::process::set_child_subreaper(Pid::from_raw(1));
    Ok(())
}

fn become_user(uid: Uid, gid: Gid) -> rustix::io::Result<()> {
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_gid(gid)?;
    rustix::thread::set_thread_uid(uid)
}

/// The signals that async-signal catches here, at one time or another.
const OURS: [c_int; 4] = [libc::SIGHUP, libc::SIGINT, libc::SIGTERM, libc::SIGCHLD];

/// The bytes of a set of signals, which the kernel wants to be told.
const SET: usize = if cfg!(target_arch = "mips") { 16 } else { 8 };

/// The signals that do not do here what they do by default, or will not: the lowest bit is signal 1.
pub(super) fn changed() -> u64 {
    let mut set = 0;
    for signal in (1..=64).rev() {
        // The handler is the kernel's first word, on MIPS the second after the flags: by default all of it is zeros.
        let mut action = [0_u64; 8];
        // SAFETY: see the head of this file.
        unsafe {
            let action = action.as_mut_ptr();
            libc::syscall(libc::SYS_rt_sigaction, c_long::from(signal), ptr::null::<c_void>(), action, SET)
        };
        let [first, second, ..] = action;
        set = set << 1 | u64::from(first | second != 0 || OURS.contains(&signal));
    }
    set
}

/// Each of `signals` does what it does by default, and no signal is held back.
fn reset_signals(mut signals: u64) {
    // All zeros: the default, in the kernel's structure of every architecture, and the empty set.
    let zeros = [0_u64; 8];
    for signal in 1..=64 {
        if signals & 1 != 0 {
            // SAFETY: reads what is on this stack.
            unsafe {
                libc::syscall(libc::SYS_rt_sigaction, c_long::from(signal), zeros.as_ptr(), ptr::null::<c_void>(), SET)
            };
        }
        signals >>= 1;
    }
    // SAFETY: reads what is on this stack.
    unsafe {
        let how = c_long::from(libc::SIG_SETMASK);
        libc::syscall(libc::SYS_rt_sigprocmask, how, zeros.as_ptr(), ptr::null::<c_void>(), SET)
    };
}
