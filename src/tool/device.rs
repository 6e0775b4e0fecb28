//! `device_status`: what this device is and how busy it is, from a few small files.

use super::host::Host;
use super::object::Object;
use super::root::Root;
use super::{Call, Outcome};

/// Whether /proc is there.
///
/// # Errors
/// Names what is missing.
pub(super) fn present(host: &Host) -> Result<(), String> {
    if host.root.has("/proc/uptime") { Ok(()) } else { Err(String::from("/proc/uptime is not there")) }
}

/// `device_status`.
pub(super) fn status(host: &Host, _call: &Call) -> Outcome {
    let root = &host.root;
    let memory = root.text("/proc/meminfo").unwrap_or_default();
    let uptime = root.value("/proc/uptime").and_then(|line| line.split_whitespace().next().and_then(number));
    let mut json = Object::new();
    json.raw("uptime_s", uptime.as_deref().unwrap_or("null"));
    match root.value("/proc/loadavg").and_then(|line| load(&line)) {
        Some(load) => json.list("load", &load),
        None => json.raw("load", "null"),
    };
    let labels = [("mem_total_kb", "MemTotal:"), ("mem_available_kb", "MemAvailable:"), ("mem_free_kb", "MemFree:")];
    for (key, label) in labels {
        json.count(key, kilobytes(&memory, label));
    }
    json.count("cpu_count", root.text("/proc/stat").and_then(|text| processors(&text)));
    let os = root.text("/etc/os-release").and_then(|text| pretty_name(&text));
    for (key, text) in [
        ("hostname", root.value("/proc/sys/kernel/hostname")),
        ("model", model(root)),
        ("os", os),
        ("kernel", root.value("/proc/sys/kernel/osrelease")),
        ("boot_id", root.value("/proc/sys/kernel/random/boot_id")),
    ] {
        json.maybe(key, text.as_deref());
    }
    json.done()
}

/// A number as JSON.
fn number(text: &str) -> Option<String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite())?;
    serde_json::to_string(&number).ok()
}

/// The three averages of /proc/loadavg.
fn load(line: &str) -> Option<Vec<String>> {
    let load: Option<Vec<String>> = line.split_whitespace().take(3).map(number).collect();
    load.filter(|load| load.len() == 3)
}

/// The value of one line of meminfo. Source: proc_meminfo(5).
fn kilobytes(text: &str, label: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(label))?.trim().strip_suffix("kB")?.trim_end().parse().ok()
}

/// How many processors are on line: the lines `cpu0`, `cpu1`, … and not their sum, `cpu`.
fn processors(text: &str) -> Option<u64> {
    let numbered =
        |line: &&str| line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let count = text.lines().filter(numbered).count() as u64;
    if count == 0 { None } else { Some(count) }
}

/// The model as the firmware, OpenWrt or a PC's tables name it.
fn model(root: &Root) -> Option<String> {
    ["/proc/device-tree/model", "/tmp/sysinfo/model", "/sys/class/dmi/id/product_name"]
        .iter()
        .find_map(|path| root.value(path))
}

/// `PRETTY_NAME`, unquoted. Source: os-release(5).
fn pretty_name(text: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?.trim();
    let inner = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    let Some(inner) = inner else { return Some(value.to_owned()) };
    let mut name = String::with_capacity(inner.len());
    let mut escaped = false;
    for c in inner.chars() {
        if c == '\\' && !escaped {
            escaped = true;
        } else {
            name.push(c);
            escaped = false;
        }
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::fixture::{Scratch, call};

    #[test]
    fn hostile_files_are_nulls() {
        let tmp = Scratch::new("device");
        let nulls = "{\"uptime_s\":null,\"load\":null,\"mem_total_kb\":null,\"mem_available_kb\":null,\"mem_free_kb\":null,\
                     \"cpu_count\":null,\"hostname\":null,\"model\":null,\"os\":null,\"kernel\":null,\"boot_id\":null}";
        let expected = Outcome::Done { details: nulls.to_owned(), text: None };
        assert_eq!(call(&tmp.host(), "device_status", "{}"), expected);
        tmp.write("proc/uptime", b"NaN inf");
        tmp.write("proc/loadavg", b"1 2");
        tmp.write("proc/meminfo", b"MemTotal: 99999999999999999999 kB\nMemFree: -1 kB\nMemAvailable:\n");
        tmp.write("proc/stat", b"cpu  1 2 3\nintr 5\n");
        tmp.write("proc/sys/kernel/hostname", b" \n\0");
        tmp.write("etc/os-release", b"NAME=x\n");
        tmp.fifo("proc/device-tree/model");
        assert_eq!(call(&tmp.host(), "device_status", "{}"), expected);
    }

    #[test]
    fn os_names() {
        for (text, expected) in [
            ("A=1\nPRETTY_NAME=\"Debian \\\"12\\\"\"\n", Some("Debian \"12\"")),
            ("PRETTY_NAME='x y'", Some("x y")),
            ("PRETTY_NAME=plain", Some("plain")),
            ("PRETTY_NAME=\"", Some("\"")),
            ("", None),
        ] {
            assert_eq!(pretty_name(text).as_deref(), expected);
        }
    }
}
