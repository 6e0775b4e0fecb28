//! Files of the operator and of the gateway itself, opened with suspicion. Used at start, at reload and by commands.
//!
//! A file is opened without following a link and without waiting, then judged by what was opened, not by its name: a
//! regular file, owned by root or by us, not writable by anybody else, in a directory nobody else can write to; a
//! secret not even readable by anybody else.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::gate::secret::Secret;
use crate::limits::{IDENTITY_BYTES, SECRET_FILE_BYTES, TOKEN_BYTES};

/// Why a file is not used. Each says what to do about it.
#[derive(Debug)]
pub enum Fault {
    /// A secret file without a secret in it.
    Blank(PathBuf),
    /// A directory that others can write to.
    DirectoryOpen(PathBuf),
    /// The kernel said no.
    Io(PathBuf, io::Error),
    /// A symbolic link where a file is wanted.
    Link(PathBuf),
    /// A secret that others can read, and its mode.
    Readable(PathBuf, u32),
    /// Not a regular file.
    Special(PathBuf),
    /// Owned by another user.
    Stranger(PathBuf, u32),
    /// Longer than it may be, in bytes.
    TooLarge(PathBuf, u64),
    /// A file that others can write, and its mode.
    Writable(PathBuf, u32),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::Blank(path) => write!(f, "{}: holds no secret; write one into it or remove it", path.display()),
            Fault::DirectoryOpen(path) => {
                let path = path.display();
                write!(f, "{path}: others can write to this directory and swap files in it; chmod go-w {path}")
            }
            Fault::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Fault::Link(path) => write!(f, "{}: is a symbolic link; name the file itself", path.display()),
            Fault::Readable(path, mode) => {
                let path = path.display();
                write!(
                    f,
                    "{path}: others can read this secret (mode {mode:04o}); chmod 600 {path}, then change the secret"
                )
            }
            Fault::Special(path) => write!(f, "{}: is not a regular file", path.display()),
            Fault::Stranger(path, owner) => {
                write!(
                    f,
                    "{}: belongs to user {owner}; it must belong to root or to the user running toolgate",
                    path.display()
                )
            }
            Fault::TooLarge(path, most) => write!(f, "{}: is longer than {most} bytes", path.display()),
            Fault::Writable(path, mode) => {
                let path = path.display();
                write!(f, "{path}: others can write to this file (mode {mode:04o}); chmod go-w {path}")
            }
        }
    }
}

/// How much suspicion a file deserves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// Others may read it.
    Plain,
    /// Nobody else may read it.
    Secret,
    /// The same for a look at what another program reads: to root it may belong to anybody.
    Looked,
    /// As the service manager made it: a read-only directory of our own, whose modes are not ours to judge.
    Credential,
}

/// What there is to say of a file without reading it.
#[derive(Debug)]
pub struct Seen {
    /// Its permissions.
    pub mode: u32,
    /// The user it belongs to.
    pub owner: u32,
    /// When it was changed, in seconds since 1970.
    pub changed: i64,
}

impl Seen {
    /// Looks at `path`; what a link points to counts.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn at(path: &Path) -> io::Result<Seen> {
        fs::metadata(path).map(|meta| Seen { mode: meta.mode() & 0o7777, owner: meta.uid(), changed: meta.mtime() })
    }
}

/// Reads a file of at most `most` bytes.
///
/// # Errors
/// Why it is not used.
///
/// Source: contract cli.md, Files; edge.md §5.
pub fn read(path: &Path, care: Care, most: u64) -> Result<Vec<u8>, Fault> {
    let at = || path.to_owned();
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = flags.bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| {
        if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
            Fault::Link(at())
        } else {
            Fault::Io(at(), error)
        }
    })?;
    judge(path, &file, care)?;
    let mut content = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut content).map_err(|error| Fault::Io(at(), error))?;
    if content.len() as u64 > most { Err(Fault::TooLarge(at(), most)) } else { Ok(content) }
}

fn judge(path: &Path, file: &File, care: Care) -> Result<(), Fault> {
    let at = || path.to_owned();
    let meta = file.metadata().map_err(|error| Fault::Io(at(), error))?;
    let mode = meta.mode() & 0o7777;
    if !meta.is_file() {
        return Err(Fault::Special(at()));
    }
    if care == Care::Credential {
        return Ok(());
    }
    let own = rustix::process::geteuid().as_raw();
    let foreign = |owner: u32| owner != 0 && owner != own && (own != 0 || care != Care::Looked);
    if foreign(meta.uid()) {
        return Err(Fault::Stranger(at(), meta.uid()));
    }
    if mode & 0o022 != 0 {
        return Err(Fault::Writable(at(), mode));
    }
    if care != Care::Plain && mode & 0o077 != 0 {
        return Err(Fault::Readable(at(), mode));
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let meta = fs::metadata(directory).map_err(|error| Fault::Io(directory.to_owned(), error))?;
    if meta.mode() & 0o022 != 0 || foreign(meta.uid()) {
        return Err(Fault::DirectoryOpen(directory.to_owned()));
    }
    Ok(())
}

/// Reads a secret: the file's text without surrounding white space.
///
/// # Errors
/// Why it is not used; a blank file is an error, because a blank secret must never pass for one.
pub fn read_secret(path: &Path, care: Care) -> Result<Secret, Fault> {
    let mut bytes = read(path, care, SECRET_FILE_BYTES)?;
    let secret = std::str::from_utf8(&bytes).ok().and_then(Secret::new);
    bytes.fill(0);
    std::hint::black_box(&bytes);
    secret.ok_or_else(|| Fault::Blank(path.to_owned()))
}

/// Writes a new random token of 2 × [`TOKEN_BYTES`] hexadecimal digits to `path`, readable by us only.
///
/// # Errors
/// What the kernel said.
pub fn write_token(path: &Path) -> Result<Secret, Fault> {
    write_hex(path, TOKEN_BYTES)
}

/// The public half of the gateway's own ed25519 key, whose secret half lies in `path`; it is made when there is none.
///
/// # Errors
/// Why the file is not used, or cannot be made.
pub fn identity(path: &Path) -> Result<[u8; 32], Fault> {
    let kept = match read_secret(path, Care::Secret) {
        Err(Fault::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => write_hex(path, IDENTITY_BYTES)?,
        other => other?,
    };
    let seed = unhex(kept.reveal()).ok_or_else(|| Fault::Blank(path.to_owned()))?;
    Ok(*ed25519_compact::KeyPair::from_seed(ed25519_compact::Seed::new(seed)).pk)
}

fn unhex(text: &[u8]) -> Option<[u8; IDENTITY_BYTES]> {
    let mut bytes = [0; IDENTITY_BYTES];
    if text.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// Makes a directory that only we may use, and those above it, where they are not there.
fn make(directory: &Path) -> io::Result<()> {
    if directory.as_os_str().is_empty() {
        return Ok(());
    }
    match rustix::fs::mkdir(directory, Mode::RWXU) {
        Err(Errno::NOENT) => {
            make(directory.parent().unwrap_or(Path::new("")))?;
            // Another process may have been faster.
            rustix::fs::mkdir(directory, Mode::RWXU)
                .or_else(|error| if directory.is_dir() { Ok(()) } else { Err(error) })?;
        }
        Err(error) if !directory.is_dir() => return Err(error.into()),
        _ => {}
    }
    Ok(())
}

/// Writes `count` random bytes in hexadecimal digits to `path`, readable by us only, in one step: whoever looks sees the
/// old file or the new one, never a part, also when the power fails.
fn write_hex(path: &Path, count: usize) -> Result<Secret, Fault> {
    let at = |error: io::Error| Fault::Io(path.to_owned(), error);
    let directory = path.parent().unwrap_or(Path::new("."));
    make(directory).map_err(|e| Fault::Io(directory.to_owned(), e))?;
    let mut random = vec![0_u8; count];
    let mut filled = 0;
    while filled < random.len() {
        let rest = random.get_mut(filled..).unwrap_or_default();
        filled += rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty()).map_err(|e| at(e.into()))?;
    }
    let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let draft = path.with_extension(format!("new.{}", std::process::id()));
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(format!("{text}\n").as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        File::open(directory)?.sync_all()
    };
    write().map_err(|error| {
        _ = fs::remove_file(&draft);
        at(error)
    })?;
    Secret::new(&text).ok_or_else(|| Fault::Blank(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::DirBuilder;
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let path = std::env::temp_dir().join(format!("toolgate-{}-{name}", std::process::id()));
            _ = fs::remove_dir_all(&path);
            DirBuilder::new().mode(0o700).create(&path).unwrap();
            Scratch(path)
        }
        fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn only_private_regular_files_hold_secrets() {
        let scratch = Scratch::new("secrets");
        let check = |path: &Path, care: Care, expected: Result<&str, &str>| {
            let got = read_secret(path, care).map(|s| String::from_utf8(s.reveal().to_vec()).unwrap());
            match (got, expected) {
                (Ok(got), Ok(expected)) => assert_eq!(got, expected),
                (Err(fault), Err(expected)) => assert!(fault.to_string().contains(expected), "{fault}"),
                (got, _) => panic!("{}: {got:?}", path.display()),
            }
        };
        let good = scratch.file("good", " s3cret\n", 0o600);
        check(&good, Care::Secret, Ok("s3cret"));
        check(&scratch.file("world", "x", 0o644), Care::Secret, Err("chmod 600"));
        check(&scratch.file("world", "x", 0o644), Care::Credential, Ok("x"));
        check(&scratch.file("group", "x", 0o660), Care::Secret, Err("chmod go-w"));
        check(&scratch.file("blank", " \n", 0o600), Care::Secret, Err("holds no secret"));
        check(&scratch.file("large", &"x".repeat(5000), 0o600), Care::Secret, Err("longer than"));
        check(&scratch.0.join("none"), Care::Secret, Err("No such file"));
        check(&scratch.0, Care::Secret, Err("not a regular file"));
        let link = scratch.0.join("link");
        symlink(&good, &link).unwrap();
        check(&link, Care::Secret, Err("symbolic link"));
        let pipe = scratch.0.join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        check(&pipe, Care::Secret, Err("not a regular file"));
        fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o777)).unwrap();
        check(&good, Care::Secret, Err("others can write to this directory"));
    }

    #[test]
    fn tokens_are_private_and_new_each_time() {
        let scratch = Scratch::new("tokens");
        let path = scratch.0.join("deep/state/token");
        let first = write_token(&path).unwrap();
        assert_eq!(first.reveal().len(), 2 * TOKEN_BYTES);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(read_secret(&path, Care::Secret).unwrap(), first);
        assert_ne!(write_token(&path).unwrap(), first);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no draft is left");
    }
}
