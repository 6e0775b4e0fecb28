//! `service_status`, `service_restart`, `device_reboot`: what the service manager runs, and what the operator lets callers
//! restart.

use std::time::Duration;

use serde_json::value::RawValue;
use smol::Timer;

use super::host::Host;
use super::manager::{self, Manager, Wish};
use super::object::{Object, fit, quoted};
use super::schema;
use super::{Call, Later, Outcome};
use crate::limits::{REBOOT_REST_MS, RESULT_FRAME_BYTES, TOOL_DIR_ENTRIES};

/// Whether a service manager can be asked.
///
/// # Errors
/// Why not.
pub(super) fn present(host: &Host) -> Result<(), String> {
    manager::find(host).map(drop)
}

/// One service.
#[derive(Debug, Default, PartialEq, Eq)]
struct Unit {
    name: String,
    active: String,
    sub: String,
    main_pid: Option<u64>,
    restarts: Option<u64>,
    /// Milliseconds since boot at which it became active.
    since_ms: Option<u64>,
}

/// Blocks of `systemctl show`, parted by blank lines. Units that are not there are left out. Pure.
fn blocks(text: &str) -> Vec<Unit> {
    let mut units = Vec::new();
    for block in text.split("\n\n") {
        let mut unit = Unit::default();
        let mut there = true;
        for (key, value) in block.lines().filter_map(|line| line.split_once('=')) {
            let number = || value.parse().ok().filter(|number| *number != 0);
            match key {
                "Id" => value.clone_into(&mut unit.name),
                "ActiveState" => value.clone_into(&mut unit.active),
                "SubState" => value.clone_into(&mut unit.sub),
                "MainPID" => unit.main_pid = number(),
                "NRestarts" => unit.restarts = value.parse().ok(),
                "ActiveEnterTimestampMonotonic" => unit.since_ms = number().map(|micros| micros / 1_000),
                "LoadState" => there = value != "not-found",
                _ => {}
            }
        }
        if there && !unit.name.is_empty() {
            units.push(unit);
        }
    }
    units
}

/// The members of an object.
fn members(raw: &RawValue) -> Option<Vec<(String, &RawValue)>> {
    let mut all = Vec::new();
    schema::members(raw.get(), &mut |key, value| {
        all.push((String::from_utf8_lossy(key).into_owned(), value));
        Some(())
    });
    raw.get().starts_with('{').then_some(all)
}

/// What `ubus call service list` says. Pure.
fn services(text: &str) -> Option<Vec<Unit>> {
    let raw: &RawValue = serde_json::from_str(text).ok()?;
    let mut units = Vec::new();
    for (name, service) in members(raw)? {
        if !service.get().starts_with('{') {
            return None;
        }
        let instances = schema::slices(&["instances"], Some(service)).0.pop().flatten();
        let mut unit = Unit { name, active: "inactive".into(), sub: "dead".into(), ..Unit::default() };
        for (_, instance) in instances.and_then(members).unwrap_or_default() {
            let values = schema::slices(&["running", "pid"], Some(instance)).0;
            let [running, pid] = *values else { continue };
            if running.is_some_and(|running| running.get() == "true") {
                (unit.active, unit.sub) = ("active".into(), "running".into());
                unit.main_pid = unit.main_pid.or_else(|| pid?.get().parse().ok());
            }
        }
        units.push(unit);
    }
    Some(units)
}

/// The units, sorted by name, and whether the service manager said more than was kept.
async fn units(host: &Host, unit: Option<&str>) -> Result<(Vec<Unit>, bool), String> {
    let manager = manager::find(host)?;
    let report = manager::run(host, manager::argv(host, manager, &Wish::Show(unit))).await?;
    // What is missing from the middle, if anything, leaves a gap between two blocks.
    let text = [&*String::from_utf8_lossy(&report.stdout.head), "\n\n", &*String::from_utf8_lossy(&report.stdout.tail)]
        .concat();
    let units = match manager {
        Manager::Procd => services(&text).ok_or("ubus answered something else than a list of services")?,
        Manager::Systemd => blocks(&text),
    };
    let mut sorted = Vec::new();
    for unit in units {
        let at = sorted.partition_point(|other: &Unit| other.name <= unit.name);
        sorted.insert(at, unit);
    }
    Ok((sorted, report.stdout.dropped > 0))
}

fn json(unit: &Unit) -> String {
    let mut json = Object::new();
    json.text("name", &unit.name);
    json.text("active", &unit.active);
    json.text("sub", &unit.sub);
    json.count("main_pid", unit.main_pid).count("restarts", unit.restarts).count("since_ms", unit.since_ms).end()
}

/// `service_status`.
pub(super) fn status<'a>(host: &'a Host, call: &'a Call) -> Later<'a> {
    Box::pin(async move {
        let (mut units, dropped) = match units(host, call.args.text("unit")).await {
            Ok(found) => found,
            Err(why) => return Outcome::soft("error", &why),
        };
        if call.args.flag("failed_only") {
            units.retain(|unit| unit.active == "failed");
        }
        let mut rows: Vec<String> = units.iter().map(json).collect();
        let room = host.result_bytes.get().saturating_sub(RESULT_FRAME_BYTES);
        let cut = fit(&mut rows, TOOL_DIR_ENTRIES, room);
        Object::new().list("units", &rows).flag("truncated", cut || dropped).done()
    })
}

/// Whether any unit may be restarted.
///
/// # Errors
/// Says where to name one.
pub(super) fn restartable(host: &Host) -> Result<(), String> {
    if host.targets().restart.is_empty() {
        return Err("tools.device.service_restart.units names no unit".into());
    }
    present(host)
}

/// The unit's name as the operator wrote it, if it may be restarted. `nginx` means `nginx.service`.
fn permitted(host: &Host, call: &Call) -> Result<String, Outcome> {
    let asked = call.args.text("unit").unwrap_or_default();
    let bare = |unit: &str| unit.strip_suffix(".service").unwrap_or(unit).to_owned();
    let targets = host.targets();
    let unit = targets.restart.iter().find(|unit| bare(unit) == bare(asked));
    unit.cloned().ok_or_else(|| Outcome::soft("forbidden", "the unit is not in tools.device.service_restart.units"))
}

/// What `service_restart` would run.
///
/// # Errors
/// That it may not.
pub(super) fn would_restart(host: &Host, call: &Call) -> Result<String, Outcome> {
    let unit = permitted(host, call)?;
    would(host, &Wish::Restart(&unit))
}

fn would(host: &Host, wish: &Wish<'_>) -> Result<String, Outcome> {
    let manager = manager::find(host).map_err(Outcome::Failed)?;
    let words: Vec<String> = manager::argv(host, manager, wish).iter().map(|word| quoted(word)).collect();
    Ok(Object::new().list("argv", &words).end())
}

/// `service_restart`.
pub(super) fn restart<'a>(host: &'a Host, call: &'a Call) -> Later<'a> {
    Box::pin(async move {
        let unit = match permitted(host, call) {
            Ok(unit) => unit,
            Err(outcome) => return outcome,
        };
        let done = async {
            let manager = manager::find(host)?;
            manager::run(host, manager::argv(host, manager, &Wish::Restart(&unit))).await?;
            units(host, Some(&unit)).await
        };
        match done.await {
            Ok((units, _)) => {
                let mut json = Object::new();
                json.text("unit", &unit);
                // An alias is shown by the name it stands for.
                let state = units.iter().find(|known| known.name == unit).or(units.first());
                json.text("active", state.map_or("unknown", |unit| &unit.active));
                json.text("sub", state.map_or("unknown", |unit| &unit.sub));
                json.done()
            }
            Err(why) => Outcome::soft("error", &why),
        }
    })
}

/// Whether the operator lets callers restart the device.
///
/// # Errors
/// Says where to.
pub(super) fn rebootable(host: &Host) -> Result<(), String> {
    if !host.targets().reboot {
        return Err("tools.device.device_reboot.enabled is not true".into());
    }
    present(host)
}

/// After how many seconds the device restarts, if it may. Pure but for the name of this machine.
fn agreed(host: &Host, call: &Call) -> Result<u64, Outcome> {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if call.args.text("confirm") != Some(&name) {
        return Err(Outcome::soft("forbidden", "confirm must be this device's host name, as device_status tells it"));
    }
    if call.now.boot_ms < REBOOT_REST_MS {
        return Err(Outcome::soft("forbidden", "the device has been up for less than ten minutes"));
    }
    if host.rebooting.get() {
        return Err(Outcome::soft("forbidden", "a restart is already under way"));
    }
    Ok(u64::try_from(call.args.integer("delay_s").unwrap_or_default()).unwrap_or_default())
}

/// What `device_reboot` would run.
///
/// # Errors
/// That it may not.
pub(super) fn would_reboot(host: &Host, call: &Call) -> Result<String, Outcome> {
    agreed(host, call)?;
    would(host, &Wish::Reboot)
}

/// `device_reboot`. The answer is sent first: the shortest delay leaves time for it.
pub(super) fn reboot(host: &Host, call: &Call) -> Outcome {
    let delay = match agreed(host, call) {
        Ok(delay) => delay,
        Err(outcome) => return outcome,
    };
    let manager = match manager::find(host) {
        Ok(manager) => manager,
        Err(why) => return Outcome::Failed(why),
    };
    host.rebooting.set(true);
    let itself = host.itself.clone();
    host.go_on(Box::pin(async move {
        Timer::after(Duration::from_secs(delay)).await;
        let Some(own) = itself.upgrade() else { return };
        log::warn!("reboot");
        if let Err(why) = manager::run(&own, manager::argv(&own, manager, &Wish::Reboot)).await {
            log::error!("reboot_failed why={why}");
        }
        own.rebooting.set(false);
    }));
    let mut json = Object::new();
    json.raw("scheduled_in_s", &delay.to_string());
    json.done()
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
