//! `storage_status`: mounted file systems with their space, disks, and the wear of eMMC flash.
//!
//! Asking a file system for its space can hang for ever (a dead NFS server), and nothing can interrupt that. So the
//! question is asked on a thread of its own, mount after mount, and each mount has a deadline; one that misses it is
//! reported `stale`. A thread that hangs is left behind, counted, and its mount is not asked again until it comes
//! back: with [`MOUNT_THREADS_STUCK`] of them gone no further network file system is asked, local ones still are.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use smol::channel::{Receiver, Sender, bounded};
use smol::lock::{Semaphore, SemaphoreGuardArc};

use super::aside::{heard, slot, start};
use super::host::Host;
use super::mounts::{self, Mount};
use super::object::{Object, fill};
use super::root::Root;
use super::{Call, Later, Outcome};
use crate::limits::{KIB, MOUNT_MILLIS, MOUNT_THREADS, MOUNT_THREADS_STUCK, TOOL_LIST_ITEMS};

/// What a file system says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Space {
    pub size_kb: u64,
    pub avail_kb: u64,
    pub inodes_free: u64,
}

/// Asks a file system; may hang.
pub(super) type Ask = fn(&Path) -> io::Result<Space>;

/// The threads that ask file systems.
#[derive(Debug)]
pub(super) struct Probes {
    pub ask: Ask,
    pub deadline: Duration,
    slots: Arc<Semaphore>,
    /// The mounts that a thread left behind is still waiting for.
    stuck: Arc<Mutex<Vec<PathBuf>>>,
}

impl Default for Probes {
    fn default() -> Probes {
        Probes {
            ask: statvfs,
            deadline: Duration::from_millis(MOUNT_MILLIS),
            slots: Arc::new(Semaphore::new(MOUNT_THREADS)),
            stuck: Arc::default(),
        }
    }
}

fn statvfs(path: &Path) -> io::Result<Space> {
    let stat = rustix::fs::statvfs(path)?;
    let kilobytes = |blocks: u64| {
        let bytes = u128::from(blocks) * u128::from(stat.f_frsize);
        u64::try_from(bytes / KIB as u128).unwrap_or(u64::MAX)
    };
    Ok(Space { size_kb: kilobytes(stat.f_blocks), avail_kb: kilobytes(stat.f_bavail), inodes_free: stat.f_favail })
}

/// What came of asking one mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// The file system refused: no right to look, or gone.
    Refused,
    Space(Space),
    /// It did not answer in time, or was not asked because it may not.
    Stale,
}

impl Probes {
    fn stuck(&self) -> Vec<PathBuf> {
        self.stuck.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks every one of `mounts`, local ones first. The answers are in the order of `mounts`.
    async fn survey(&self, root: &Root, mounts: &[Mount]) -> Vec<Answer> {
        let mut answers = vec![Answer::Stale; mounts.len()];
        let stuck = self.stuck();
        let mut open: Vec<(usize, PathBuf, bool)> = Vec::new();
        for network in [false, true] {
            for (at, mount) in mounts.iter().enumerate().filter(|(_, mount)| mount.network == network) {
                let place = root.place(Path::new(&mount.path));
                if !stuck.contains(&place) {
                    open.push((at, place, network));
                }
            }
        }
        // Each turn of this loop but the last leaves a thread behind, so it turns a few times at most.
        while !open.is_empty() {
            if self.stuck().len() >= MOUNT_THREADS_STUCK {
                open.retain(|(_, _, network)| !network);
            }
            let Some(answered) = self.round(&open, &mut answers).await else { break };
            open.drain(..answered.min(open.len()));
        }
        answers
    }

    /// One thread's worth of asking: how many of `open` are done with, or `None` when no thread is to be had.
    async fn round(&self, open: &[(usize, PathBuf, bool)], answers: &mut [Answer]) -> Option<usize> {
        let slot = slot(&self.slots, self.deadline).await?;
        let (said, receiver) = self.send(open, slot)?;
        for (done, (at, _, _)) in open.iter().enumerate() {
            let heard = heard(&receiver, self.deadline).await;
            let answer = said.lock().unwrap_or_else(PoisonError::into_inner).get(done).copied();
            if let Some(slot) = answers.get_mut(*at) {
                *slot = answer.filter(|_| heard.is_some()).unwrap_or(Answer::Stale);
            }
            if heard.is_none() {
                self.abandon(&receiver, open, done);
                return Some(done.saturating_add(1));
            }
        }
        Some(open.len())
    }

    /// Sends a thread to the places of `open`: what they say, and a sign for each that has answered.
    fn send(&self, open: &[(usize, PathBuf, bool)], slot: SemaphoreGuardArc) -> Option<(Said, Receiver<()>)> {
        let places: Vec<PathBuf> = open.iter().map(|(_, place, _)| place.clone()).collect();
        let (sender, receiver) = bounded(places.len().max(1));
        let (ask, stuck, said) = (self.ask, Arc::clone(&self.stuck), Said::default());
        let all = Arc::clone(&said);
        start(c"mounts", Box::new(move || work(&places, ask, &all, &sender, &stuck, slot)))?;
        Some((said, receiver))
    }

    /// Marks the place that the thread is at as hanging; the thread takes the mark off when it comes back.
    fn abandon(&self, receiver: &Receiver<()>, places: &[(usize, PathBuf, bool)], done: usize) {
        let mut stuck = self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have come back in this very moment and be at a later place: answers that wait tell how far it is.
        // Under the lock it cannot pass from "answered" to "looked whether somebody listens".
        let at = places.get(done.saturating_add(receiver.len()));
        if let (Some((_, place, _)), false) = (at, receiver.is_closed()) {
            stuck.push(place.clone());
        }
        receiver.close();
    }
}

/// What a thread has been told so far, place after place.
type Said = Arc<Mutex<Vec<Answer>>>;

/// The thread: asks `places` in turn until nobody listens any more.
fn work(
    places: &[PathBuf],
    ask: Ask,
    said: &Mutex<Vec<Answer>>,
    sender: &Sender<()>,
    stuck: &Mutex<Vec<PathBuf>>,
    slot: SemaphoreGuardArc,
) {
    for place in places {
        let answer = ask(place).map_or(Answer::Refused, Answer::Space);
        said.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
        let mut stuck = stuck.lock().unwrap_or_else(PoisonError::into_inner);
        if sender.try_send(()).is_err() {
            stuck.retain(|hanging| hanging != place);
            break;
        }
    }
    drop(slot);
}

/// Whether the mount table is there.
///
/// # Errors
/// Names what is missing.
pub(super) fn present(host: &Host) -> Result<(), String> {
    if host.root.has(mounts::TABLE) { Ok(()) } else { Err(format!("{} is not there", mounts::TABLE)) }
}

/// `storage_status`.
pub(super) fn status<'a>(host: &'a Host, call: &'a Call) -> Later<'a> {
    Box::pin(async move {
        let (mounts, many) = match chosen(host, call) {
            Ok(chosen) => chosen,
            Err(outcome) => return outcome,
        };
        let answers = host.probes.survey(&host.root, &mounts).await;
        told(host, &mounts, &answers, many)
    })
}

/// The mounts that are asked for, and whether there are more than are looked at.
fn chosen(host: &Host, call: &Call) -> Result<(Vec<Mount>, bool), Outcome> {
    let (mut mounts, long) = mounts::mounted(&host.root);
    if let Some(only) = call.args.text("mount") {
        let only = if only.len() > 1 { only.trim_end_matches('/') } else { only };
        mounts.retain(|mount| mount.path == only);
        if mounts.is_empty() {
            return Err(Outcome::soft("error", "mount: no file system with space of its own is mounted there"));
        }
    }
    let many = long || mounts.len() > TOOL_LIST_ITEMS;
    mounts.truncate(TOOL_LIST_ITEMS);
    Ok((mounts, many))
}

fn told(host: &Host, mounts: &[Mount], answers: &[Answer], many: bool) -> Outcome {
    let mut rows: Vec<String> = mounts.iter().zip(answers).map(|(mount, answer)| row(mount, *answer)).collect();
    let (mut disks, lives) = (disks(&host.root), lives(&host.root));
    // The disks' share is small and bounded by their names; the mounts' paths may be long.
    let mut room = host.result_bytes.get();
    let cut = fill(&mut disks, TOOL_LIST_ITEMS, &mut room) | fill(&mut rows, TOOL_LIST_ITEMS, &mut room);
    let mut json = Object::new();
    json.list("mounts", &rows).list("disks", &disks);
    match lives.as_slice() {
        [] => json.raw("mmc_life", "null"),
        lives => json.list("mmc_life", lives),
    };
    json.truncated(many || cut).done()
}

fn row(mount: &Mount, answer: Answer) -> String {
    let space = if let Answer::Space(space) = answer { Some(space) } else { None };
    let mut json = Object::new();
    json.text("path", &mount.path).text("fstype", &mount.fstype);
    json.count("size_kb", space.map(|space| space.size_kb));
    json.count("avail_kb", space.map(|space| space.avail_kb));
    json.count("inodes_free", space.map(|space| space.inodes_free));
    json.flag("ro", mount.ro);
    if answer == Answer::Stale {
        json.flag("stale", true);
    }
    json.end()
}

const BLOCK: &str = "/sys/block";

/// Block devices that are not made of memory or of other files.
fn disks(root: &Root) -> Vec<String> {
    let made = ["loop", "ram", "zram"];
    let mut disks = Vec::new();
    for name in root.list(BLOCK) {
        if made.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let file = |file: &str| root.number(&[BLOCK, "/", &name, "/", file].concat());
        let mut disk = Object::new();
        // The size is in units of 512 bytes whatever the device's block size. Source: sysfs-block.
        disk.text("name", &name).count("size_kb", file("size").and_then(|n| u64::try_from(n / 2).ok()));
        match file("ro") {
            Some(ro) => disk.flag("ro", ro != 0),
            None => disk.raw("ro", "null"),
        };
        disks.push(disk.end());
    }
    disks
}

/// eMMC wear as the device tells it: life times in steps of a tenth (1 = up to 10 % used, 11 = beyond its life),
/// pre-end-of-life 1 normal, 2 warning, 3 urgent. Source: JEDEC eMMC 5.0, kernel documentation mmc-dev-attrs.
fn lives(root: &Root) -> Vec<String> {
    let mut lives = Vec::new();
    for name in root.list(BLOCK).into_iter().filter(|name| name.starts_with("mmcblk")).take(TOOL_LIST_ITEMS) {
        let file = |file: &str| root.value(&[BLOCK, "/", &name, "/device/", file].concat());
        let (life, end) = (file("life_time"), file("pre_eol_info"));
        if life.is_none() && end.is_none() {
            continue;
        }
        let mut words = life.as_deref().unwrap_or_default().split_whitespace().map(hex);
        let mut row = Object::new();
        row.text("name", &name);
        row.count("life_time_a", words.next().flatten()).count("life_time_b", words.next().flatten());
        row.count("pre_eol_info", end.as_deref().and_then(hex));
        lives.push(row.end());
    }
    lives
}

fn hex(text: &str) -> Option<u64> {
    u32::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok().map(u64::from)
}

#[cfg(test)]
#[path = "storage_tests.rs"]
mod tests;
