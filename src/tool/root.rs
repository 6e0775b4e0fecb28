//! The one door to /proc, /sys, /etc and /run: a path below the system root → a bounded number of bytes.
//!
//! Nothing here hangs: only regular files are read (a FIFO or a device is refused before the first byte),
//! opening never waits, and both bytes and directory entries are counted.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::limits::{TOOL_DIR_ENTRIES, TOOL_FILE_BYTES, TOOL_VALUE_BYTES};

/// Where /proc, /sys, /etc and /run are found: `/`, or a directory that holds a copy (`--sysroot`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root(PathBuf);

impl Root {
    /// The root at `path`.
    pub fn new(path: PathBuf) -> Root {
        Root(path)
    }

    /// Whether this is the running system itself, so that system calls and files tell of the same device.
    pub fn live(&self) -> bool {
        self.0 == Path::new("/")
    }

    /// The real place of the absolute `path`. A `..` in it leads nowhere: such a path is never asked for.
    pub fn place(&self, path: &Path) -> PathBuf {
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// At most `cap` bytes of the regular file at the absolute `path`.
    ///
    /// # Errors
    /// Whatever the system says, and `InvalidInput` when there is something else than a regular file.
    pub fn read(&self, path: &str, cap: usize) -> io::Result<Vec<u8>> {
        // Without NONBLOCK the open of a FIFO waits for a writer; without NOCTTY a terminal could become ours.
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(i32::try_from(flags.bits()).unwrap_or(0))
            .open(self.place(Path::new(path)))?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        take(file, cap)
    }

    /// The text of the file at `path`, up to [`TOOL_FILE_BYTES`], with invalid UTF-8 replaced.
    pub fn text(&self, path: &str) -> Option<String> {
        let bytes = self.read(path, TOOL_FILE_BYTES).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The one value in the file at `path`: trimmed of space and NUL, `None` when nothing is left.
    pub fn value(&self, path: &str) -> Option<String> {
        let bytes = self.read(path, TOOL_VALUE_BYTES).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        if text.is_empty() { None } else { Some(text.to_owned()) }
    }

    /// The whole decimal number in the file at `path`.
    pub fn number(&self, path: &str) -> Option<i64> {
        self.value(path)?.parse().ok()
    }

    /// Whether anything is at `path`. Follows links, opens nothing.
    pub fn has(&self, path: &str) -> bool {
        self.place(Path::new(path)).exists()
    }

    /// The names in the directory at `path`, `eth2` before `eth10`, at most [`TOOL_DIR_ENTRIES`] of them. Names that
    /// are not UTF-8 are left out (the kernel makes none); a missing directory is an empty one.
    pub fn list(&self, path: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.place(Path::new(path))) else { return Vec::new() };
        let mut names: Vec<String> = Vec::new();
        for entry in entries.take(TOOL_DIR_ENTRIES) {
            if let Some(name) = entry.ok().and_then(|entry| entry.file_name().into_string().ok()) {
                let own = natural(&name);
                let at = names.partition_point(|other| natural(other) <= own);
                names.insert(at, name);
            }
        }
        names
    }
}

fn take(file: File, cap: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(u64::try_from(cap).unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A name as its stem and the number it ends in. Numbers too large to be one sort last.
fn natural(name: &str) -> (&str, u64) {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = name.get(stem.len()..).unwrap_or("");
    (stem, if digits.is_empty() { 0 } else { digits.parse().unwrap_or(u64::MAX) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::fixture::Scratch;

    #[test]
    fn ten_megabytes_are_read_up_to_the_cap() {
        let tmp = Scratch::new("root-large");
        tmp.write("proc/meminfo", &vec![b'x'; 10_000_000]);
        let root = tmp.root();
        assert_eq!(root.read("/proc/meminfo", 100).unwrap().len(), 100);
        assert_eq!(root.text("/proc/meminfo").unwrap().len(), TOOL_FILE_BYTES);
    }

    #[test]
    fn a_fifo_does_not_hang_and_is_refused() {
        let tmp = Scratch::new("root-fifo");
        tmp.fifo("proc/uptime");
        let root = tmp.root();
        assert_eq!(root.read("/proc/uptime", 10).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(root.value("/proc/uptime"), None);
    }

    #[test]
    fn a_directory_is_no_file() {
        let tmp = Scratch::new("root-dir");
        tmp.write("sys/a/b", b"1");
        assert!(tmp.root().read("/sys/a", 10).is_err());
        assert_eq!(tmp.root().number("/sys/a/b"), Some(1));
        assert_eq!(tmp.root().number("/sys/a/missing"), None);
    }

    #[test]
    fn names_sort_by_their_number_and_foreign_bytes_are_left_out() {
        let tmp = Scratch::new("root-list");
        for name in ["eth10", "eth2", "lo", "eth2a"] {
            tmp.write(&format!("n/{name}"), b"");
        }
        tmp.write_raw(b"n/\xff\xfe", b"");
        assert_eq!(tmp.root().list("/n"), ["eth2", "eth10", "eth2a", "lo"]);
        assert!(tmp.root().list("/absent").is_empty());
    }
}
