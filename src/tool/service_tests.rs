//! The service manager as programs of a scratch root that say what the real ones say.

use std::os::unix::fs::PermissionsExt;
use std::rc::Rc;

use super::*;
use crate::limits::MANAGER_OUTPUT_BYTES;
use crate::tool::fixture::{Scratch, call, heir, rehearse};
use crate::tool::{Now, Targets};

/// A root in which `systemctl` is this script; it writes its arguments into the root's `asked`.
fn systemd(name: &str, script: &str) -> Scratch {
    heir();
    let tmp = Scratch::new(name);
    tmp.write("run/systemd/system/x", b"");
    program(&tmp, "usr/bin/systemctl", script);
    tmp
}

fn program(tmp: &Scratch, path: &str, script: &str) {
    tmp.write(path, format!("#!/bin/sh\necho \"$@\" >> {}\n{script}\n", place(tmp, "asked")).as_bytes());
    std::fs::set_permissions(place(tmp, path), std::fs::Permissions::from_mode(0o755)).expect("a program");
}

fn place(tmp: &Scratch, path: &str) -> String {
    tmp.root().place(std::path::Path::new(path)).to_string_lossy().into_owned()
}

fn asked(tmp: &Scratch) -> String {
    std::fs::read_to_string(place(tmp, "asked")).unwrap_or_default()
}

fn named(host: &Host, targets: Targets) {
    *host.targets.borrow_mut() = Rc::new(targets);
}

fn details(outcome: Outcome) -> String {
    match outcome {
        Outcome::Done { details, .. } => details,
        other => panic!("{other:?}"),
    }
}

const SHOWN: &str = "Id=nginx.service
ActiveState=active
SubState=running
MainPID=42
NRestarts=1
ActiveEnterTimestampMonotonic=5000000
LoadState=loaded

Id=gone.service
ActiveState=inactive
SubState=dead
MainPID=0
LoadState=not-found

Id=bad.service
ActiveState=failed
SubState=failed
MainPID=0
NRestarts=0
ActiveEnterTimestampMonotonic=0
LoadState=loaded
";

#[test]
fn units_are_listed() {
    let tmp = systemd("service-list", &format!("cat <<'END'\n{SHOWN}END"));
    let host = tmp.host();
    let bad = r#"{"name":"bad.service","active":"failed","sub":"failed","main_pid":null,"restarts":0,"since_ms":null}"#;
    let good =
        r#"{"name":"nginx.service","active":"active","sub":"running","main_pid":42,"restarts":1,"since_ms":5000}"#;
    let both = format!("{{\"units\":[{bad},{good}],\"truncated\":false}}");
    assert_eq!(details(call(&host, "service_status", "{}")), both);
    let failed = format!("{{\"units\":[{bad}],\"truncated\":false}}");
    assert_eq!(details(call(&host, "service_status", r#"{"failed_only":true}"#)), failed);
    call(&host, "service_status", r#"{"unit":"nginx.service"}"#);
    assert!(asked(&tmp).ends_with("show -- nginx.service\n"), "{}", asked(&tmp));
}

#[test]
fn a_list_that_is_cut_says_so() {
    // One more than are told, and only the last of them has failed: it is looked for before the cut.
    let script = format!(
        "i=0; while [ $i -le {TOOL_DIR_ENTRIES} ]; do printf 'Id=u%04d.service\\nLoadState=loaded\\n\\n' $i; i=$((i+1)); done
         printf 'Id=zz.service\\nActiveState=failed\\nLoadState=loaded\\n'"
    );
    let tmp = systemd("service-many", &script);
    let host = tmp.host();
    let many = details(call(&host, "service_status", "{}"));
    assert!(many.ends_with("\"truncated\":true}"), "{}", &many[many.len() - 200..]);
    assert_eq!(many.matches("\"name\"").count(), TOOL_DIR_ENTRIES);
    let failed = details(call(&host, "service_status", r#"{"failed_only":true}"#));
    assert!(failed.contains("zz.service") && failed.ends_with("\"truncated\":false}"), "{failed}");
    // More than is kept of what a program prints: the middle is missing.
    let script = format!("echo Id=a; echo; head -c {} /dev/zero | tr '\\0' '\\n'; echo Id=b", 2 * MANAGER_OUTPUT_BYTES);
    let dropped = details(call(&systemd("service-dropped", &script).host(), "service_status", "{}"));
    assert!(dropped.ends_with("\"truncated\":true}"), "{dropped}");
}

#[test]
fn procd_lists_its_services() {
    let list = r#"{"nginx":{"instances":{"instance1":{"running":true,"pid":7,"command":["x"]}}},"off":{},"died":{"instances":{"a":{"running":false,"exit_code":1}}}}"#;
    let units = services(list).expect("services");
    let told: Vec<String> = units.iter().map(|u| format!("{} {} {:?}", u.name, u.active, u.main_pid)).collect();
    assert_eq!(told, ["nginx active Some(7)", "off inactive None", "died inactive None"]);
    for wrong in ["", "[]", "{", r#"{"a":5}"#] {
        assert_eq!(services(wrong), None, "{wrong}");
    }
}

#[test]
fn only_named_units_are_restarted() {
    let tmp = systemd("service-restart", &format!("case $* in *show*) cat <<'END'\n{SHOWN}END\n;; esac"));
    let host = tmp.host();
    assert!(restartable(&host).is_err(), "no unit is named");
    named(&host, Targets { restart: vec!["nginx.service".into()], ..Targets::default() });
    let would = rehearse(&host, "service_restart", r#"{"unit":"nginx"}"#).expect("a plan");
    assert!(would.ends_with(r#"restart","--","nginx.service"]}"#), "{would}");
    assert_eq!(asked(&tmp), "", "a rehearsal asked");
    let said = details(call(&host, "service_restart", r#"{"unit":"nginx"}"#));
    assert_eq!(said, r#"{"unit":"nginx.service","active":"active","sub":"running"}"#);
    assert!(asked(&tmp).starts_with("--no-ask-password --quiet restart -- nginx.service\n"), "{}", asked(&tmp));
    for unit in ["sshd.service", "nginx.socket", "nginx.service.service"] {
        let said = details(call(&host, "service_restart", &format!("{{\"unit\":\"{unit}\"}}")));
        assert!(said.starts_with("{\"status\":\"forbidden\""), "{unit}: {said}");
    }
    for unit in ["--user", "a b", "a;b", "$(id)", ""] {
        let outcome = call(&host, "service_restart", &format!("{{\"unit\":\"{unit}\"}}"));
        assert!(matches!(outcome, Outcome::Input(_)), "{unit}: {outcome:?}");
    }
}

#[test]
fn what_the_manager_refuses_is_told_in_its_words() {
    let tmp = systemd("service-refused", "echo 'Failed to restart nginx.service: Access denied' >&2; exit 4");
    let host = tmp.host();
    named(&host, Targets { restart: vec!["nginx.service".into()], ..Targets::default() });
    let said = details(call(&host, "service_restart", r#"{"unit":"nginx.service"}"#));
    assert!(said.contains("Access denied") && said.starts_with("{\"status\":\"error\""), "{said}");
}

#[test]
fn a_restart_of_the_device_wants_its_name_and_comes_once() {
    let tmp = systemd("service-reboot", "");
    let host = tmp.host();
    assert!(rebootable(&host).is_err());
    named(&host, Targets { reboot: true, ..Targets::default() });
    assert!(rebootable(&host).is_ok());
    let host = host.shared();
    let said = details(call(&host, "device_reboot", r#"{"confirm":"not-this-one"}"#));
    assert!(said.starts_with("{\"status\":\"forbidden\""), "{said}");
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let args = format!("{{\"confirm\":\"{name}\",\"delay_s\":2}}");
    let said = details(call(&host, "device_reboot", &args));
    if Now::read().boot_ms < REBOOT_REST_MS {
        return assert!(said.contains("ten minutes"), "{said}");
    }
    assert_eq!(said, r#"{"scheduled_in_s":2}"#);
    assert!(details(call(&host, "device_reboot", &args)).contains("under way"));
    assert_eq!(asked(&tmp), "");
    smol::block_on(host.tasks.run(async {
        while host.rebooting.get() {
            Timer::after(Duration::from_millis(20)).await;
        }
    }));
    assert_eq!(asked(&tmp), "--no-ask-password reboot\n");
}
