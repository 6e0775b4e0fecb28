//! `service_status`: not on any device yet, because what could be read without speaking to a service manager would be
//! untrue. Control groups show the units that have processes, not those that are active without one or failed.

use super::host::Host;
use super::{Call, Outcome};

/// Why this device has no `service_status`.
///
/// # Errors
/// Always, naming the service manager that was found.
pub(super) fn present(host: &Host) -> Result<(), String> {
    let found = if host.root.has("/run/systemd/system") {
        "systemd runs, but its bus is not spoken by this version"
    } else if host.root.has("/sbin/procd") {
        "procd runs, but its bus (ubus) is not spoken by this version"
    } else {
        "no service manager: neither /run/systemd/system nor /sbin/procd is there"
    };
    Err(String::from(found))
}

/// `service_status`. Reached only if a permit was made for a tool that is not present.
pub(super) fn status(host: &Host, _call: &Call) -> Outcome {
    Outcome::Failed(present(host).err().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::fixture::Scratch;

    #[test]
    fn the_reason_names_what_was_found() {
        let tmp = Scratch::new("service");
        assert!(present(&tmp.host()).unwrap_err().starts_with("no service manager"));
        tmp.write("sbin/procd", b"");
        assert!(present(&tmp.host()).unwrap_err().starts_with("procd"));
        tmp.write("run/systemd/system/x", b"");
        assert!(present(&tmp.host()).unwrap_err().starts_with("systemd"));
    }
}
