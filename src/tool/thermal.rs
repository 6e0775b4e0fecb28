//! `thermal_status`: thermal zones, hwmon sensors and fans, and the Raspberry Pi's throttling flags, all from sysfs.

use super::host::Host;
use super::object::{Object, fill};
use super::root::Root;
use super::{Call, Outcome};
use crate::limits::TOOL_LIST_ITEMS;

const ZONES: &str = "/sys/class/thermal";
const CHIPS: &str = "/sys/class/hwmon";
const THROTTLED: &str = "/sys/devices/platform/soc/soc:firmware/get_throttled";

/// Whether the kernel has thermal zones or hwmon at all; having none of them in it is an answer.
///
/// # Errors
/// Names what is missing.
pub(super) fn present(host: &Host) -> Result<(), String> {
    if [ZONES, CHIPS, THROTTLED].iter().any(|path| host.root.has(path)) {
        Ok(())
    } else {
        Err(format!("neither {ZONES} nor {CHIPS} is there"))
    }
}

/// `thermal_status`.
pub(super) fn status(host: &Host, _call: &Call) -> Outcome {
    let root = &host.root;
    let mut zones = zones(root);
    let (mut fans, mut undervoltage) = (Vec::new(), None);
    for chip in root.list(CHIPS) {
        let base = format!("{CHIPS}/{chip}");
        let name = root.value(&format!("{base}/name")).unwrap_or(chip);
        if name == "rpi_volt" {
            undervoltage = root.number(&format!("{base}/in0_lcrit_alarm")).map(|alarm| alarm != 0);
        }
        // The kernel repeats each thermal zone as a hwmon chip of its name.
        let repeated = zones.iter().any(|zone| zone.name.replace('-', "_") == name);
        sensors(root, &base, &name, repeated, &mut zones, &mut fans);
    }
    let mut zones: Vec<String> =
        zones.iter().map(|zone| reading(&zone.name, "temp_c", zone.temp_c.as_deref())).collect();
    let mut room = host.result_bytes.get();
    let cut = fill(&mut zones, TOOL_LIST_ITEMS, &mut room) | fill(&mut fans, TOOL_LIST_ITEMS, &mut room);
    let mut json = Object::new();
    json.list("zones", &zones).list("fans", &fans);
    json.raw("throttled", throttled(root, undervoltage).as_deref().unwrap_or("null"));
    json.truncated(cut).done()
}

/// A sensor and what it shows.
struct Zone {
    name: String,
    temp_c: Option<String>,
}

fn reading(name: &str, key: &str, shown: Option<&str>) -> String {
    Object::new().text("name", name).raw(key, shown.unwrap_or("null")).end()
}

fn zones(root: &Root) -> Vec<Zone> {
    let names = root.list(ZONES).into_iter().filter(|name| name.starts_with("thermal_zone"));
    names
        .map(|zone| Zone {
            temp_c: celsius(root, &format!("{ZONES}/{zone}/temp")),
            name: root.value(&format!("{ZONES}/{zone}/type")).unwrap_or(zone),
        })
        .collect()
}

/// The inputs of one hwmon chip. Source: kernel documentation, hwmon/sysfs-interface.
fn sensors(root: &Root, base: &str, chip: &str, repeated: bool, zones: &mut Vec<Zone>, fans: &mut Vec<String>) {
    let files = root.list(base);
    let inputs: Vec<&str> = files.iter().filter_map(|file| file.strip_suffix("_input")).collect();
    for input in inputs {
        let path = format!("{base}/{input}_input");
        let name = match root.value(&format!("{base}/{input}_label")) {
            Some(label) => format!("{chip} {label}"),
            None => format!("{chip} {input}"),
        };
        if input.starts_with("temp") && !repeated {
            zones.push(Zone { name, temp_c: celsius(root, &path) });
        } else if input.starts_with("fan") {
            let rpm = root.number(&path).filter(|rpm| *rpm >= 0).map(|rpm| rpm.to_string());
            fans.push(reading(&name, "rpm", rpm.as_deref()));
        }
    }
}

/// Thousandths of a degree as degrees, in JSON. Sensors that are off give nonsense, which is no temperature.
#[allow(clippy::cast_precision_loss, reason = "the range is checked first")]
fn celsius(root: &Root, path: &str) -> Option<String> {
    let thousandths = root.number(path).filter(|t| (-273_150..=1_000_000).contains(t))?;
    serde_json::to_string(&(thousandths as f64 / 1_000.0)).ok()
}

/// The firmware's flags, else what the rpi_volt chip says. Source: Raspberry Pi documentation, vcgencmd get_throttled;
/// kernel drivers/firmware/raspberrypi.c (hexadecimal without prefix), drivers/hwmon/raspberrypi-hwmon.c.
fn throttled(root: &Root, undervoltage: Option<bool>) -> Option<String> {
    let text = root.value(THROTTLED);
    let raw = text.and_then(|text| u32::from_str_radix(text.trim_start_matches("0x"), 16).ok());
    if raw.is_none() && undervoltage.is_none() {
        return None;
    }
    let mut json = Object::new();
    json.count("raw", raw.map(u64::from));
    for (at, key, other) in FLAGS {
        match raw.map(|raw| raw >> at & 1 == 1).or(undervoltage.filter(|_| other)) {
            Some(flag) => json.flag(key, flag),
            None => json.raw(key, "null"),
        };
    }
    Some(json.end())
}

/// The firmware's flags: the bit, the name, and whether a chip may stand in for it.
const FLAGS: [(u32, &str, bool); 8] = [
    (0, "undervoltage_now", true),
    (1, "freq_capped_now", false),
    (2, "throttled_now", false),
    (3, "soft_temp_now", false),
    (16, "undervoltage_since_boot", false),
    (17, "freq_capped_since_boot", false),
    (18, "throttled_since_boot", false),
    (19, "soft_temp_since_boot", false),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::fixture::{Scratch, call};

    #[test]
    fn hostile_sensors() {
        let tmp = Scratch::new("thermal");
        tmp.write("sys/class/thermal/thermal_zone0/temp", b"NaN\n");
        tmp.write("sys/class/thermal/thermal_zone1/temp", b"9223372036854775807\n");
        tmp.write("sys/class/thermal/thermal_zone1/type", b"\xff\n");
        tmp.write("sys/class/thermal/thermal_zone2/temp", b"-12345\n");
        tmp.write("sys/class/thermal/cooling_device0/type", b"fan\n");
        tmp.write("sys/class/hwmon/hwmon0/fan1_input", b"-3\n");
        tmp.write("sys/class/hwmon/hwmon0/temp1_input", b"99999999999999999999\n");
        tmp.write("sys/devices/platform/soc/soc:firmware/get_throttled", b"zz\n");
        let Outcome::Done { details, .. } = call(&tmp.host(), "thermal_status", "{}") else { panic!() };
        assert_eq!(
            details,
            "{\"zones\":[{\"name\":\"thermal_zone0\",\"temp_c\":null},{\"name\":\"\u{fffd}\",\"temp_c\":null},\
             {\"name\":\"thermal_zone2\",\"temp_c\":-12.345},{\"name\":\"hwmon0 temp1\",\"temp_c\":null}],\
             \"fans\":[{\"name\":\"hwmon0 fan1\",\"rpm\":null}],\"throttled\":null}"
        );
    }

    #[test]
    fn a_flood_of_sensors_is_cut() {
        let tmp = Scratch::new("thermal-flood");
        for at in 0..100 {
            tmp.write(&format!("sys/class/thermal/thermal_zone{at}/temp"), b"1000");
            tmp.write(&format!("sys/class/thermal/thermal_zone{at}/type"), &[b'n'; 4_096]);
        }
        let Outcome::Done { details, .. } = call(&tmp.host(), "thermal_status", "{}") else { panic!() };
        assert!(
            details.len() < crate::limits::TOOL_RESULT_BYTES + 256 && details.ends_with("\"truncated\":true}"),
            "{}",
            details.len()
        );
    }

    #[test]
    fn nothing_to_read_means_no_tool() {
        assert!(present(&Scratch::new("thermal-none").host()).is_err());
    }
}
