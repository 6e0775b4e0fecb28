//! A path beneath a root that the operator named → an open file or directory, and nothing that lies elsewhere.
//!
//! Below the root no symbolic link is followed, not in the middle and not at the end, so what is opened is what the path
//! says. openat2(2) does that in one step since Linux 5.6; before it, and where a sandbox denies the call, the same is
//! done name by name. Only regular files and directories are opened: a FIFO would wait, a device may do something.
//! All of this may hang on a dead network file system, so it runs on a thread of its own (`aside`).

use std::fs::{File, canonicalize};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat, fstat, open, openat, openat2, stat};
use rustix::io::Errno;

use super::host::Host;

/// A path, split into a root that is trusted as it stands and a rest that is not.
pub(super) struct Place {
    root: PathBuf,
    /// Names with a slash between them, none of which is `.` or `..`.
    rest: String,
    /// The gateway's own files and directories, which no tool reads.
    private: Vec<PathBuf>,
}

/// Why something was not opened, in words for the caller that follow the argument's name.
pub(super) type Why = &'static str;

impl Place {
    /// The place of `path` beneath the one of `roots` that is its longest prefix; `None` when there is none, or when
    /// `path` goes up.
    pub fn beneath(host: &Host, roots: &[String], path: &str) -> Option<Place> {
        let mut best: Option<(&String, Vec<&str>)> = None;
        for root in roots {
            if let Some(rest) = below(root, path)
                && best.as_ref().is_none_or(|(_, longer)| rest.len() < longer.len())
            {
                best = Some((root, rest));
            }
        }
        let (root, rest) = best?;
        Some(Place::new(host, root, rest.join("/")))
    }

    /// The place of a file that the operator named itself.
    pub fn named(host: &Host, path: &str) -> Option<Place> {
        let (root, name) = path.rsplit_once('/')?;
        Some(Place::new(host, root, name.to_owned()))
    }

    fn new(host: &Host, root: &str, rest: String) -> Place {
        Place { root: host.root.place(Path::new(root)), rest, private: host.private.borrow().clone() }
    }

    /// Opens the directory at this place.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn directory(&self) -> Result<OwnedFd, Why> {
        let directory = self.open(OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK)?;
        self.public(&fstat(&directory).map_err(why)?)?;
        Ok(directory)
    }

    /// Opens the regular file at this place.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn file(&self) -> Result<File, Why> {
        // Opening a device may do something already, as a watchdog starts. So it is looked at before it is opened, and
        // again afterwards, because another may lie there by then.
        regular(&self.open(OFlags::PATH)?)?;
        let file = self.open(OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        self.public(&regular(&file)?)?;
        Ok(File::from(file))
    }

    fn open(&self, flags: OFlags) -> Result<OwnedFd, Why> {
        let flags = flags | OFlags::CLOEXEC;
        let root = open(&self.root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(why)?;
        let rest = if self.rest.is_empty() { "." } else { self.rest.as_str() };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match openat2(&root, rest, flags, Mode::empty(), resolve) {
            Err(Errno::NOSYS | Errno::PERM) => walk(root, rest, flags),
            opened => opened,
        }
        .map_err(why)
    }

    /// Refuses what is the gateway's own, by whatever name it was found: the configuration, the token, the state.
    fn public(&self, found: &Stat) -> Result<(), Why> {
        let refused = "is the gateway's own and not shown";
        // Below the root there are no links, so this is where it really lies.
        let place = canonicalize(&self.root).map_err(|_| refused)?.join(&self.rest);
        // A running program's environment may hold its secrets, and so may ours.
        let process = place.as_os_str().as_bytes().strip_prefix(b"/proc/");
        if process.is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_digit)) {
            return Err("tells of a running program and is not shown");
        }
        for private in &self.private {
            let Ok(real) = canonicalize(private) else { continue };
            let same = stat(&real).is_ok_and(|own| (own.st_dev, own.st_ino) == (found.st_dev, found.st_ino));
            let inside = place.as_os_str().as_bytes().strip_prefix(real.as_os_str().as_bytes());
            if same || inside.is_some_and(|rest| matches!(rest, [] | [b'/', ..])) {
                return Err(refused);
            }
        }
        Ok(())
    }
}

/// Opens `rest` below `at`, one name after another. Source: the semantics are those of openat2(2), `RESOLVE_NO_SYMLINKS`.
fn walk(mut at: OwnedFd, rest: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let mut rest = rest;
    loop {
        let (name, more) = rest.split_once('/').unwrap_or((rest, ""));
        let on_the_way = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let flags = if more.is_empty() { flags } else { on_the_way };
        at = openat(&at, name, flags | OFlags::NOFOLLOW, Mode::empty())?;
        if more.is_empty() {
            return Ok(at);
        }
        rest = more;
    }
}

/// The names of `path` behind those of `root`, if it begins with them. Both are absolute, and nothing goes up.
fn below<'a>(root: &str, path: &'a str) -> Option<Vec<&'a str>> {
    let mut names = names(path)?.into_iter();
    for name in self::names(root)? {
        if names.next() != Some(name) {
            return None;
        }
    }
    Some(names.collect())
}

/// The names in an absolute path; `None` where one of them leads up.
fn names(path: &str) -> Option<Vec<&str>> {
    let mut names = Vec::new();
    for name in path.strip_prefix('/')?.split('/') {
        match name {
            ".." => return None,
            "" | "." => {}
            _ => names.push(name),
        }
    }
    Some(names)
}

fn regular(file: &OwnedFd) -> Result<Stat, Why> {
    let stat = fstat(file).map_err(why)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(stat),
        FileType::Directory => Err("is a directory"),
        FileType::Symlink => Err(LINK),
        _ => Err("is no regular file"),
    }
}

const LINK: Why = "is a symbolic link or beneath one, and those are not followed";

/// What the system said, without its words.
pub(super) fn why(error: Errno) -> Why {
    match error {
        Errno::ACCESS | Errno::PERM => "may not be read by this program",
        Errno::LOOP => LINK,
        Errno::NOENT => "is not there",
        Errno::NOTDIR => "is no directory, or beneath something that is none",
        _ => "cannot be read",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::fixture::Scratch;
    use std::io::Read;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    /// A tree with everything that must not be followed or opened.
    fn tree(name: &str) -> (Scratch, Host) {
        let tmp = Scratch::new(name);
        tmp.write("srv/logs/app/today", b"today");
        tmp.write("srv/secret", b"secret");
        tmp.write("srv/state/token", b"token");
        tmp.fifo("srv/logs/fifo");
        let real = |path: &str| tmp.root().place(Path::new(path));
        symlink("../secret", real("/srv/logs/out")).expect("a link");
        symlink("app", real("/srv/logs/in")).expect("a link");
        symlink("/", real("/srv/logs/all")).expect("a link");
        symlink("app/today", real("/srv/logs/last")).expect("a link");
        symlink("logs", real("/srv/alias")).expect("a link");
        std::fs::hard_link(real("/srv/state/token"), real("/srv/logs/hard")).expect("a hard link");
        drop(UnixListener::bind(real("/srv/logs/socket")).expect("a socket"));
        let host = tmp.host();
        host.private.borrow_mut().extend([real("/srv/state"), real("/srv/state/token"), real("/absent")]);
        (tmp, host)
    }

    fn read(place: &Place, walked: bool) -> Result<String, Why> {
        let mut text = String::new();
        if walked {
            let root = open(&place.root, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).map_err(why)?;
            let flags = OFlags::RDONLY | OFlags::NONBLOCK;
            let found = walk(root, &place.rest, flags).map_err(why)?;
            place.public(&regular(&found)?)?;
            File::from(found).read_to_string(&mut text).expect("text");
        } else {
            place.file()?.read_to_string(&mut text).expect("text");
        }
        Ok(text)
    }

    fn check(host: &Host, path: &str, expected: Result<&str, &str>) {
        let roots = ["/srv/logs", "/srv/logs/app", "/srv/alias", "/srv/state"].map(String::from);
        let place = Place::beneath(host, &roots, path).unwrap_or_else(|| panic!("{path} is beneath a root"));
        for walked in [false, true] {
            match (read(&place, walked), expected) {
                (Ok(text), Ok(expected)) => assert_eq!(text, expected, "{path} {walked}"),
                // Name by name a link on the way looks like a file on the way, and a socket cannot be opened at all.
                (Err(_), Err(_)) if walked => {}
                (Err(why), Err(expected)) => assert!(why.contains(expected), "{path}: {why}"),
                (got, _) => panic!("{path} {walked}: {got:?}"),
            }
        }
    }

    #[test]
    fn nothing_but_plain_files_beneath_the_roots_is_opened() {
        let (_tmp, host) = tree("beneath");
        check(&host, "/srv/logs/app/today", Ok("today"));
        check(&host, "/srv//logs/./app//today", Ok("today"));
        check(&host, "/srv/alias/app/today", Ok("today"));
        check(&host, "/srv/logs/out", Err("symbolic link"));
        check(&host, "/srv/logs/last", Err("symbolic link"));
        check(&host, "/srv/logs/in/today", Err("symbolic link"));
        check(&host, "/srv/logs/all/etc/passwd", Err("symbolic link"));
        check(&host, "/srv/logs/fifo", Err("no regular file"));
        check(&host, "/srv/logs/socket", Err("no regular file"));
        check(&host, "/srv/logs/app", Err("is a directory"));
        check(&host, "/srv/logs/absent", Err("not there"));
        check(&host, "/srv/logs/app/today/more", Err("no directory"));
        check(&host, "/srv/logs/a\0b", Err("cannot be read"));
        check(&host, "/srv/state/token", Err("gateway's own"));
        check(&host, "/srv/logs/hard", Err("gateway's own"));
    }

    #[test]
    fn no_path_leaves_the_roots() {
        let (_tmp, host) = tree("beneath-out");
        let roots = [String::from("/srv/logs/")];
        for path in ["/srv/logs/../secret", "/srv/logs/..", "/srv/log", "/srv/logs2/x", "/", "", "srv/logs/x", "/srv"] {
            assert!(Place::beneath(&host, &roots, path).is_none(), "{path}");
        }
        assert!(Place::beneath(&host, &[], "/srv/logs/app/today").is_none());
        let place = Place::beneath(&host, &roots, "/srv/logs").expect("the root itself");
        place.directory().expect("a directory");
        let state = Place::beneath(&host, &[String::from("/srv")], "/srv/state").expect("beneath");
        assert!(state.directory().unwrap_err().contains("gateway's own"));
        let file = Place::beneath(&host, &[String::from("/srv")], "/srv/secret").expect("beneath");
        assert!(file.directory().unwrap_err().contains("no directory"));
    }

    #[test]
    fn what_the_kernel_tells_of_programs_is_not_shown() {
        let host = Host::new(PathBuf::from("/"), &[]);
        let check = |root: &str, path: &str, shown: bool| {
            let place = Place::beneath(&host, &[String::from(root)], path).expect("beneath");
            assert_eq!(place.file().is_ok(), shown, "{path}: {:?}", place.file().err());
        };
        let own = format!("/proc/{}", std::process::id());
        check("/", &format!("{own}/environ"), false);
        check("/proc", &format!("{own}/environ"), false);
        check("/proc", &format!("{own}/task/{}/environ", std::process::id()), false);
        check(&own, &format!("{own}/environ"), false);
        check("/proc/self", "/proc/self/environ", false);
        check("/proc/thread-self", "/proc/thread-self/environ", false);
        check("/proc", "/proc/self/environ", false);
        check("/proc", "/proc/uptime", true);
        let place = Place::beneath(&host, &[String::from("/")], &own).expect("beneath");
        assert!(place.directory().unwrap_err().contains("running program"));
    }

    #[test]
    fn a_device_is_not_even_opened() {
        let host = Host::new(PathBuf::from("/"), &[]);
        for path in ["/dev/null", "/dev/ptmx", "/dev/tty"] {
            let place = Place::named(&host, path).expect("a place");
            if Path::new(path).exists() {
                assert!(place.file().is_err(), "{path}");
            }
        }
    }
}
