//! Mounts that answer, refuse and hang.

use super::*;
use crate::limits::TOOL_RESULT_BYTES;
use crate::tool::fixture::{Scratch, call};
use std::sync::Condvar;

static GATE: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());

/// Answers by the path: one with `dead` in it hangs until the test opens the gate.
fn ask(path: &Path) -> io::Result<Space> {
    if path.to_string_lossy().contains("dead") {
        let open = GATE.0.lock().unwrap();
        drop(GATE.1.wait_while(open, |open| !*open).unwrap());
    }
    if path.ends_with("refused") {
        return Err(io::Error::from(io::ErrorKind::PermissionDenied));
    }
    Ok(Space { size_kb: 100, avail_kb: 40, inodes_free: 7 })
}

fn table(mounts: &[(&str, &str)]) -> String {
    let line = |(at, (path, kind)): (usize, &(&str, &str))| format!("{at} 0 0:{at} / {path} rw - {kind} dev rw\n");
    mounts.iter().enumerate().map(line).collect()
}

/// Path and outcome of each row: `+` answered, `-` refused, `?` stale.
fn rows(host: &Host, args: &str) -> String {
    let Outcome::Done { details, .. } = call(host, "storage_status", args) else { panic!() };
    let details: serde_json::Value = serde_json::from_str(&details).unwrap();
    let row = |row: &serde_json::Value| {
        let mark = if row["stale"] == true {
            '?'
        } else if row["size_kb"].is_null() {
            '-'
        } else {
            '+'
        };
        format!("{}{mark}", row["path"].as_str().unwrap())
    };
    details["mounts"].as_array().unwrap().iter().map(row).collect::<Vec<_>>().join(" ")
}

#[test]
fn dead_mounts_are_stale_and_leave_few_threads_behind() {
    let tmp = Scratch::new("storage-hanging");
    let mounts = [
        ("/dead1", "nfs"),
        ("/", "ext4"),
        ("/dead2", "cifs"),
        ("/nas", "nfs4"),
        ("/dead3", "fuse.sshfs"),
        ("/refused", "ext4"),
    ];
    tmp.write("proc/self/mountinfo", table(&mounts).as_bytes());
    let mut host = tmp.host();
    host.probes.ask = ask;
    host.probes.deadline /= 20;
    // The first call loses a thread on each of two dead mounts; what is behind them on the network is not asked.
    assert_eq!(rows(&host, "{}"), "/dead1? /+ /dead2? /nas? /dead3? /refused-");
    assert_eq!(host.probes.stuck().len(), MOUNT_THREADS_STUCK);
    // Further calls lose none, and local file systems still answer.
    for _ in 0..5 {
        assert_eq!(rows(&host, "{}"), "/dead1? /+ /dead2? /nas? /dead3? /refused-");
    }
    assert_eq!(rows(&host, "{\"mount\":\"/dead1\"}"), "/dead1?");
    assert_eq!(host.probes.stuck().len(), MOUNT_THREADS_STUCK);
    // The servers come back: so do the threads, and then the mounts.
    *GATE.0.lock().unwrap() = true;
    GATE.1.notify_all();
    while !host.probes.stuck().is_empty() {
        std::thread::yield_now();
    }
    host.probes.deadline *= 1_000;
    assert_eq!(rows(&host, "{}"), "/dead1+ /+ /dead2+ /nas+ /dead3+ /refused-");
}

#[test]
fn no_thread_to_be_had_means_stale() {
    let tmp = Scratch::new("storage-slots");
    tmp.write("proc/self/mountinfo", table(&[("/", "ext4"), ("/b", "ext4")]).as_bytes());
    let mut host = tmp.host();
    host.probes.deadline /= 100;
    host.probes.slots = Arc::new(Semaphore::new(0));
    assert_eq!(rows(&host, "{}"), "/? /b?");
}

#[test]
fn one_mount_by_its_path() {
    let tmp = Scratch::new("storage-one");
    tmp.write("proc/self/mountinfo", table(&[("/", "ext4"), ("/usb\\040stick", "vfat")]).as_bytes());
    let mut host = tmp.host();
    host.probes.ask = ask;
    assert_eq!(rows(&host, "{\"mount\":\"/usb stick/\"}"), "/usb stick+");
    assert_eq!(rows(&host, "{\"mount\":\"/\"}"), "/+");
    let Outcome::Done { details, .. } = call(&host, "storage_status", "{\"mount\":\"/nope\"}") else { panic!() };
    assert_eq!(
        details,
        "{\"status\":\"error\",\"error\":\"mount: no file system with space of its own is mounted there\"}"
    );
    let input = call(&host, "storage_status", "{\"mount\":\"mnt\"}");
    assert_eq!(input, Outcome::Input(String::from("mount: must start with /")));
}

#[test]
fn a_flood_of_mounts_is_cut() {
    let tmp = Scratch::new("storage-flood");
    let long = "x".repeat(3_000);
    let lines: Vec<String> = (0..20).map(|at| format!("{at} 0 0:{at} / /{at}{long} rw - ext4 dev rw\n")).collect();
    tmp.write("proc/self/mountinfo", lines.concat().repeat(2).as_bytes());
    let mut host = tmp.host();
    host.probes.ask = ask;
    let Outcome::Done { details, .. } = call(&host, "storage_status", "{}") else { panic!() };
    assert!(details.len() < TOOL_RESULT_BYTES + 256, "{}", details.len());
}

#[test]
fn this_machine_has_a_root_file_system() {
    let host = Host::new(PathBuf::from("/"), &[]);
    let Outcome::Done { details, .. } = call(&host, "storage_status", "{}") else { panic!() };
    assert!(details.starts_with("{\"mounts\":["), "{details}");
}

#[test]
fn wear_as_the_device_tells_it() {
    let tmp = Scratch::new("storage-wear");
    tmp.write("sys/block/mmcblk0/device/life_time", b"0x01 0x0b\n");
    tmp.write("sys/block/mmcblk0/device/pre_eol_info", b"0x02\n");
    tmp.write("sys/block/mmcblk1/device/life_time", b"junk\n");
    tmp.write("sys/block/mmcblk2/size", b"-5\n");
    let root = tmp.root();
    assert_eq!(
        lives(&root).join(","),
        "{\"name\":\"mmcblk0\",\"life_time_a\":1,\"life_time_b\":11,\"pre_eol_info\":2},\
         {\"name\":\"mmcblk1\",\"life_time_a\":null,\"life_time_b\":null,\"pre_eol_info\":null}"
    );
    assert!(disks(&root).iter().all(|disk| disk.contains("\"size_kb\":null")));
}
