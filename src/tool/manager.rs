//! The service manager of this device, asked by programs with fixed arguments: systemd by `systemctl` and `journalctl`,
//! procd by `ubus`. A caller's text is one argument behind `--`, or one JSON string, and looks like a unit's name.

use std::path::Path;
use std::time::Duration;

use super::child::{self, End, Plan, Report, Rlimits};
use super::host::Host;
use super::object::quoted;
use crate::limits::{MANAGER_OUTPUT_BYTES, MANAGER_SECS};

/// Who runs the services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manager {
    /// OpenWrt's.
    Procd,
    /// Most others'.
    Systemd,
}

const SYSTEMCTL: [&str; 2] = ["/usr/bin/systemctl", "/bin/systemctl"];
const UBUS: [&str; 2] = ["/bin/ubus", "/usr/bin/ubus"];
const JOURNALCTL: [&str; 2] = ["/usr/bin/journalctl", "/bin/journalctl"];

const LOGREAD: [&str; 2] = ["/sbin/logread", "/usr/sbin/logread"];

/// The first of `paths` that is there, below the system root.
fn first(host: &Host, paths: [&str; 2]) -> Option<String> {
    let path = paths.into_iter().find(|path| host.root.has(path))?;
    Some(host.root.place(Path::new(path)).to_string_lossy().into_owned())
}

/// The service manager that can be asked here.
///
/// # Errors
/// Why none can.
pub(super) fn find(host: &Host) -> Result<Manager, String> {
    if host.root.has("/run/systemd/system") {
        let found = first(host, SYSTEMCTL).map(|_| Manager::Systemd);
        return found.ok_or_else(|| "systemd runs, but systemctl is not there".into());
    }
    if host.root.has("/sbin/procd") {
        return first(host, UBUS).map(|_| Manager::Procd).ok_or_else(|| "procd runs, but ubus is not there".into());
    }
    Err("no service manager: neither /run/systemd/system nor /sbin/procd is there".into())
}

/// What is wanted of the manager.
pub(super) enum Wish<'w> {
    /// Restarts this device.
    Reboot,
    /// Restarts a unit.
    Restart(&'w str),
    /// The state of a unit, or of all services.
    Show(Option<&'w str>),
}

/// The program and its arguments.
pub(super) fn argv(host: &Host, manager: Manager, wish: &Wish<'_>) -> Vec<String> {
    let words: Vec<&str> = match (manager, wish) {
        (Manager::Systemd, Wish::Reboot) => vec!["--no-ask-password", "reboot"],
        (Manager::Systemd, Wish::Restart(unit)) => vec!["--no-ask-password", "--quiet", "restart", "--", unit],
        (Manager::Systemd, Wish::Show(unit)) => vec![
            "--no-pager",
            "--property=Id,ActiveState,SubState,MainPID,NRestarts,ActiveEnterTimestampMonotonic,LoadState",
            "show",
            "--",
            unit.unwrap_or("*.service"),
        ],
        (Manager::Procd, Wish::Reboot) => vec!["call", "system", "reboot"],
        (Manager::Procd, Wish::Restart(_)) => vec!["call", "rc", "init"],
        (Manager::Procd, Wish::Show(_)) => vec!["call", "service", "list"],
    };
    let programs = if manager == Manager::Systemd { SYSTEMCTL } else { UBUS };
    // It was there a moment ago; if it is not now, nothing starts.
    let program = first(host, programs).unwrap_or_default();
    let mut argv: Vec<String> = [&*program].into_iter().chain(words).map(str::to_owned).collect();
    // The names of procd's services have no ending.
    let service = |unit: &str| quoted(unit.strip_suffix(".service").unwrap_or(unit));
    match (manager, wish) {
        (Manager::Procd, Wish::Restart(unit)) => {
            argv.push(["{\"name\":", &service(unit), ",\"action\":\"restart\"}"].concat());
        }
        (Manager::Procd, Wish::Show(Some(unit))) => argv.push(["{\"name\":", &service(unit), "}"].concat()),
        _ => {}
    }
    argv
}

/// How the latest entries of a unit's log are read.
pub(super) struct Excerpt<'e> {
    pub unit: &'e str,
    pub lines: usize,
    /// The least grave priority, in a word.
    pub priority: Option<&'e str>,
    pub since_s: Option<i64>,
}

/// The program that reads a unit's log, and its arguments: systemd's journal as JSON, or OpenWrt's log as lines.
///
/// # Errors
/// Why there is none.
pub(super) fn reader(host: &Host, excerpt: &Excerpt<'_>) -> Result<(Manager, Vec<String>), String> {
    let lines = excerpt.lines.to_string();
    if let Some(program) = first(host, JOURNALCTL) {
        let mut argv = vec![program, "--output=json".into(), "--no-pager".into(), "--quiet".into(), "--all".into()];
        argv.push(["--lines=", &lines].concat());
        argv.push(["--unit=", excerpt.unit].concat());
        argv.extend(excerpt.priority.map(|word| ["--priority=", word].concat()));
        argv.extend(excerpt.since_s.map(|seconds| ["--since=-", &seconds.to_string(), "s"].concat()));
        return Ok((Manager::Systemd, argv));
    }
    let program = first(host, LOGREAD).ok_or("neither journalctl nor logread is there")?;
    let unit = excerpt.unit.strip_suffix(".service").unwrap_or(excerpt.unit);
    Ok((Manager::Procd, vec![program, "-l".into(), lines, "-e".into(), unit.into()]))
}

/// Runs one of these programs to its end.
///
/// # Errors
/// Why it could not start, or how it failed.
pub(super) async fn run(host: &Host, argv: Vec<String>) -> Result<Report, String> {
    let plan = Plan {
        argv,
        env: vec![("LC_ALL".into(), "C".into())],
        cwd: "/".into(),
        stdin: Vec::new(),
        user: None,
        rlimits: Rlimits::default(),
        output_bytes: MANAGER_OUTPUT_BYTES,
        timeout: Duration::from_secs(MANAGER_SECS),
        turns: None,
    };
    let report = child::run(host, plan, None).await?;
    match report.end {
        _ if report.timed_out => Err("the service manager did not answer in time".into()),
        End::Code(0) => Ok(report),
        // Its own words say more than its exit code: access denied, no such unit.
        _ => {
            let said = String::from_utf8_lossy(&report.stderr.head);
            let line = said.lines().next().unwrap_or("the service manager refused").trim();
            Err(line.chars().take(200).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::fixture::Scratch;

    #[test]
    fn a_unit_is_one_argument_behind_the_options() {
        let tmp = Scratch::new("manager");
        tmp.write("run/systemd/system/x", b"");
        tmp.write("usr/bin/systemctl", b"");
        tmp.write("bin/ubus", b"");
        let host = tmp.host();
        assert_eq!(find(&host), Ok(Manager::Systemd));
        let check = |manager, wish: Wish<'_>, expected: &str| {
            let argv = argv(&host, manager, &wish);
            assert!(argv[0].starts_with('/'), "{argv:?}");
            assert_eq!(argv[1..].join(" "), expected);
        };
        check(Manager::Systemd, Wish::Restart("nginx.service"), "--no-ask-password --quiet restart -- nginx.service");
        check(Manager::Systemd, Wish::Reboot, "--no-ask-password reboot");
        let restart = r#"call rc init {"name":"nginx","action":"restart"}"#;
        check(Manager::Procd, Wish::Restart("nginx.service"), restart);
        check(Manager::Procd, Wish::Show(Some("nginx")), r#"call service list {"name":"nginx"}"#);
        check(Manager::Procd, Wish::Show(None), "call service list");
        check(Manager::Procd, Wish::Reboot, "call system reboot");
    }

    #[test]
    fn what_is_missing_is_said() {
        let tmp = Scratch::new("manager-missing");
        assert!(find(&tmp.host()).unwrap_err().starts_with("no service manager"));
        tmp.write("sbin/procd", b"");
        assert!(find(&tmp.host()).unwrap_err().starts_with("procd"));
        tmp.write("run/systemd/system/x", b"");
        assert!(find(&tmp.host()).unwrap_err().starts_with("systemd"));
        let excerpt = Excerpt { unit: "a", lines: 1, priority: None, since_s: None };
        assert!(reader(&tmp.host(), &excerpt).is_err());
    }

    #[test]
    fn logs_are_asked_for() {
        let tmp = Scratch::new("manager-logs");
        tmp.write("sbin/logread", b"");
        let excerpt = Excerpt { unit: "nginx.service", lines: 5, priority: Some("err"), since_s: Some(60) };
        let words = |argv: Vec<String>| argv[1..].join(" ");
        assert_eq!(reader(&tmp.host(), &excerpt).map(|(_, argv)| words(argv)), Ok("-l 5 -e nginx".into()));
        tmp.write("bin/journalctl", b"");
        let asked = "--output=json --no-pager --quiet --all --lines=5 --unit=nginx.service --priority=err --since=-60s";
        assert_eq!(reader(&tmp.host(), &excerpt).map(|(_, argv)| words(argv)), Ok(asked.into()));
    }
}
