//! The mount table: /proc/self/mountinfo → file systems with space of their own, each once.
//!
//! Source: proc_pid_mountinfo(5).

use super::root::Root;
use crate::limits::MOUNT_TABLE_BYTES;

/// Where the mount table is.
pub(super) const TABLE: &str = "/proc/self/mountinfo";

/// A file system that is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    pub path: String,
    pub fstype: String,
    /// Whether the file system itself is read-only, as after an error on a worn SD card. A read-only *mount* of it
    /// (as a sandboxed service sees) does not count.
    pub ro: bool,
    /// Whether somebody else's answer is needed to ask it anything.
    pub network: bool,
    device: String,
    whole: bool,
}

/// File systems without space of their own, in memory, or that are somebody else's view of another one.
const PSEUDO: [&str; 30] = [
    "autofs",
    "bdev",
    "binder",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "cpuset",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fuse.gvfsd-fuse",
    "fuse.lxcfs",
    "fuse.portal",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "ramfs",
    "rootfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "smackfs",
    "sysfs",
    "tracefs",
];

/// File systems that wait for another machine or another process. FUSE is among them: its server may be gone.
const NETWORK: [&str; 15] = [
    "9p",
    "afs",
    "ceph",
    "cifs",
    "coda",
    "davfs",
    "fuse",
    "glusterfs",
    "gfs2",
    "lustre",
    "nfs",
    "nfs4",
    "ocfs2",
    "smb3",
    "smbfs",
];

/// The mounted file systems of the device, in the order they were mounted, and whether the table was too long to read.
pub(super) fn mounted(root: &Root) -> (Vec<Mount>, bool) {
    let bytes = root.read(TABLE, MOUNT_TABLE_BYTES).unwrap_or_default();
    (parse(&String::from_utf8_lossy(&bytes)), bytes.len() >= MOUNT_TABLE_BYTES)
}

fn parse(text: &str) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = Vec::new();
    for mount in text.lines().filter_map(line) {
        // What is mounted over another mount hides it.
        mounts.retain(|earlier| earlier.path != mount.path);
        if hidden(&mount) {
            continue;
        }
        match mounts.iter_mut().find(|earlier| earlier.device == mount.device) {
            // A bind mount shows a part of what is already there; the mount of the whole is the one to name.
            Some(earlier) if mount.whole && !earlier.whole => *earlier = mount,
            Some(_) => {}
            None => mounts.push(mount),
        }
    }
    mounts
}

/// Whether `mount` is not worth a row. tmpfs is memory, except at /tmp, where a small device runs out of it first;
/// overlays of containers repeat the file system under them; images of packages are always full.
fn hidden(mount: &Mount) -> bool {
    match mount.fstype.as_str() {
        "tmpfs" => mount.path != "/tmp",
        "overlay" => mount.path != "/",
        "squashfs" => mount.path.starts_with("/snap/"),
        other => PSEUDO.contains(&other),
    }
}

/// One line: `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`.
fn line(line: &str) -> Option<Mount> {
    let mut words = line.split(' ');
    let (_id, _parent, device) = (words.next()?, words.next()?, words.next()?);
    let (inside, path, _options) = (words.next()?, words.next()?, words.next()?);
    let mut tail = words.skip_while(|word| *word != "-").skip(1);
    let (fstype, _source, options) = (tail.next()?, tail.next()?, tail.next()?);
    let family = fstype.split('.').next().unwrap_or(fstype);
    Some(Mount {
        path: unescape(path),
        fstype: unescape(fstype),
        ro: options.split(',').any(|option| option == "ro"),
        network: NETWORK.contains(&family),
        device: device.to_owned(),
        whole: inside == "/",
    })
}

/// Undoes the kernel's `\040` for space, tab, newline and backslash. Anything else after a backslash stays.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        match (first, after) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', more @ ..]) => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = more;
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        for (text, expected) in [
            ("/mnt/usb\\040stick", "/mnt/usb stick"),
            ("/a\\011b\\012c\\134d", "/a\tb\nc\\d"),
            ("/a\\04", "/a\\04"),
            ("/a\\999", "/a\\999"),
            ("\\377", "\u{fffd}"),
            ("\\", "\\"),
        ] {
            assert_eq!(unescape(text), expected);
        }
    }

    /// Lines of a mount table and the rows they give: path, type, ro, network.
    fn check(text: &str, expected: &[(&str, &str, bool, bool)]) {
        let mounts = parse(text);
        let rows: Vec<_> = mounts.iter().map(|m| (m.path.as_str(), m.fstype.as_str(), m.ro, m.network)).collect();
        assert_eq!(rows, expected, "{text}");
    }

    #[test]
    fn tables() {
        check("", &[]);
        check("garbage\n1 2 3\n36 35 8:1 / /x rw - ext4\n", &[]);
        check("1 0 8:1 / / ro shared:1 master:2 - ext4 /dev/root rw\n", &[("/", "ext4", false, false)]);
        check("1 0 8:1 / / rw - ext4 /dev/root ro,errors=remount-ro\n", &[("/", "ext4", true, false)]);
        check(
            "1 0 0:5 / /proc rw - proc proc rw\n2 1 0:9 / /run rw - tmpfs t rw\n3 1 0:10 / /tmp rw - tmpfs t rw",
            &[("/tmp", "tmpfs", false, false)],
        );
        check(
            "1 0 0:40 / /nas rw - nfs4 n:/x rw\n2 0 0:41 / /me rw - fuse.sshfs me: rw\n3 0 0:42 / /w rw - cifs //w rw",
            &[("/nas", "nfs4", false, true), ("/me", "fuse.sshfs", false, true), ("/w", "cifs", false, true)],
        );
    }

    #[test]
    fn a_file_system_is_shown_once_and_by_its_whole_mount() {
        check(
            "1 0 8:1 /srv /data rw - ext4 d rw\n2 0 8:1 / /mnt rw - ext4 d rw\n3 0 8:1 / /again rw - ext4 d rw",
            &[("/mnt", "ext4", false, false)],
        );
        check("1 0 8:1 / /mnt rw - ext4 d rw\n2 0 8:2 / /mnt rw - vfat e rw", &[("/mnt", "vfat", false, false)]);
        check("1 0 8:1 / /mnt rw - ext4 d rw\n2 0 0:9 / /mnt rw - autofs e rw", &[]);
    }
}
