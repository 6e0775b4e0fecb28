//! `file_list` and `file_read`: what lies beneath the directories that the operator named, as `beneath` opens it.

use std::io::{Read, Seek, SeekFrom};

use rustix::fs::{AtFlags, Dir, FileType, statat};

use super::beneath::{Place, Why, why};
use super::fetch::base64;
use super::host::Host;
use super::object::{Object, clip, fit, insert};
use super::{Call, Later, Outcome, aside, iso};
use crate::limits::{FILE_LIST_DEFAULT, FILE_LIST_SEEN, FILE_READ_BYTES_DEFAULT};

/// Whether the operator named directories.
///
/// # Errors
/// Names the key.
pub(super) fn present(host: &Host) -> Result<(), String> {
    if host.targets().roots.is_empty() {
        return Err(String::from("tools.device.file_read.roots names no directory"));
    }
    Ok(())
}

fn place(host: &Host, call: &Call) -> Result<Place, Outcome> {
    let path = call.args.text("path").unwrap_or_default();
    let refused = || Outcome::soft("forbidden", "path: is not beneath a directory of tools.device.file_read.roots");
    Place::beneath(host, &host.targets().roots, path).ok_or_else(refused)
}

/// A refusal that names the argument.
pub(super) fn refused(name: &str, why: Why) -> Outcome {
    Outcome::soft("error", &[name, ": ", why].concat())
}

/// `file_list`.
pub(super) fn list<'a>(host: &'a Host, call: &'a Call) -> Later<'a> {
    let place = match place(host, call) {
        Ok(place) => place,
        Err(outcome) => return aside::known(outcome),
    };
    let room = host.result_bytes.get();
    let limit = call.args.count("limit").unwrap_or(FILE_LIST_DEFAULT);
    let work = move || entries(&place, limit, room).unwrap_or_else(|why| refused("path", why));
    aside::later(&host.errands, Box::new(work))
}

fn entries(place: &Place, limit: usize, room: usize) -> Result<Outcome, Why> {
    let directory = place.directory()?;
    let mut names = Vec::new();
    let (mut seen, mut cut) = (0, false);
    for entry in Dir::read_from(&directory).map_err(why)? {
        let name = entry.map_err(why)?.file_name().to_owned();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        cut |= insert(&mut names, name, limit) || seen == FILE_LIST_SEEN;
        if seen == FILE_LIST_SEEN {
            break;
        }
        seen += 1;
    }
    let mut rows = Vec::new();
    for name in names {
        // It may be gone by now.
        let Ok(stat) = statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let (word, size) = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => ("file", Some(stat.st_size)),
            FileType::Directory => ("directory", None),
            FileType::Symlink => ("link", None),
            FileType::Fifo => ("fifo", None),
            FileType::Socket => ("socket", None),
            _ => ("device", None),
        };
        let mut row = Object::new();
        row.text("name", &name.to_string_lossy()).text("type", word);
        match size {
            Some(size) => row.number("size", size),
            None => row.raw("size", "null"),
        };
        row.text("mtime", &iso(stat.st_mtime.saturating_mul(1_000)));
        rows.push(row.end());
    }
    let cut = fit(&mut rows, limit, room) || cut;
    Ok(Object::new().list("entries", &rows).truncated(cut).done())
}

/// `file_read`.
pub(super) fn read<'a>(host: &'a Host, call: &'a Call) -> Later<'a> {
    let place = match place(host, call) {
        Ok(place) => place,
        Err(outcome) => return aside::known(outcome),
    };
    let room = host.result_bytes.get();
    let offset = call.args.integer("offset").and_then(|n| u64::try_from(n).ok()).unwrap_or_default();
    let max = call.args.count("max_bytes").unwrap_or(FILE_READ_BYTES_DEFAULT);
    let binary = call.args.text("encoding") == Some("base64");
    let work = move || content(&place, offset, max, binary, room).unwrap_or_else(|why| refused("path", why));
    aside::later(&host.errands, Box::new(work))
}

fn content(place: &Place, offset: u64, max: usize, binary: bool, room: usize) -> Result<Outcome, Why> {
    let mut file = place.file()?;
    let unread = |_| "cannot be read";
    let size = file.metadata().map_err(unread)?.len();
    // Nothing that does not fit into the answer is read: a byte takes at least that much room there.
    let max = max.min(if binary { room / 4 * 3 } else { room });
    let mut bytes = Vec::new();
    // A place that no file of this file system can have is behind the end, too.
    if file.seek(SeekFrom::Start(offset)).is_ok() {
        // One byte more tells whether more is there; the size does not, of files that the kernel makes up.
        let more = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
        file.take(more).read_to_end(&mut bytes).map_err(unread)?;
    }
    let mut cut = bytes.len() > max;
    bytes.truncate(max);
    let content = if binary {
        base64(&bytes)
    } else {
        let text = text(&bytes, cut)?;
        let shown = clip(text, room);
        cut |= shown.len() < text.len();
        bytes.truncate(shown.len());
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let mut object = Object::new();
    object.text("content", &content).text("encoding", if binary { "base64" } else { "utf8" });
    object.number("size", number(size)).number("bytes", number(bytes.len() as u64)).flag("truncated", cut);
    Ok(object.done())
}

/// `bytes` as text; where the file goes on, without the character that was cut in two.
fn text(bytes: &[u8], cut: bool) -> Result<&str, Why> {
    let valid = match std::str::from_utf8(bytes) {
        Err(error) if cut && error.error_len().is_none() => error.valid_up_to(),
        Err(_) => return Err("is not UTF-8 there; ask for it with encoding base64"),
        Ok(text) => text.len(),
    };
    std::str::from_utf8(bytes.get(..valid).unwrap_or_default()).map_err(|_| "cannot be read")
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
