//! Documents in, targets and findings out.

use super::*;
use crate::config::{Level, Outcome, SecretRef, read};
use crate::gate::secret::Secret;

fn load(device: &str) -> Outcome {
    read(&["{tools: {device: {", device, "}}}"].concat(), &|name| (name == "SET").then(|| "value".to_owned()))
}

/// The findings without what all their paths begin with, errors with `!`.
fn check(device: &str, expected: &[&str]) {
    let mark = |level| if level == Level::Error { "! " } else { "" };
    let shown = |text: String| text.replacen("tools.device.", "", 1);
    let got: Vec<String> =
        load(device).findings.iter().map(|f| format!("{}{}", mark(f.level), shown(f.to_string()))).collect();
    assert_eq!(got, expected, "{device}");
}

fn targets(device: &str) -> Targets {
    let outcome = load(device);
    assert!(outcome.findings.is_empty(), "{device}\n{:#?}", outcome.findings);
    outcome.config.targets
}

#[test]
fn nothing_named_is_nothing_allowed() {
    for device in ["", "gpio: {}, net: {}, log_tail: {units: []}, wake_on_lan: {hosts: {}}, dhcp_leases: {}"] {
        let got = targets(device);
        assert!(got.allow.is_empty() && got.gpio.is_empty() && got.log_units.is_empty() && got.wake.is_empty());
        assert!(!got.leases && !got.reboot && got.home.is_none() && got.mqtt.is_none());
    }
}

#[test]
fn everything_arrives() {
    let outcome = load(
        "wake_on_lan: {hosts: {nas: {mac: '00:11:22:AA:bb:cc', interface: 'br-lan'}, tv: {mac: '02-00-00-00-00-01'}}},
        service_restart: {units: ['nginx.service', 'ssh.service'], critical: [' ssh.service']},
        log_tail: {units: ['nginx.service'], files: ['/var/log//app.log']},
        file_read: {roots: ['/var/log/app/']},
        gpio: {lines: {heater: {chip: 'pinctrl-bcm2711', line: 17, direction: 'out', activeLow: true},
            door: {chip: 'pinctrl-rp1', line: 'GPIO22', direction: 'in'}}},
        net: {allow: ['192.168.1.7/24', 'fd00::/8']},
        mqtt_publish: {broker: 'mqtt://Broker.lan', username: 'pi', password: {env: 'MQTT'}, topics: ['home/', 'a/b']},
        http_fetch: {hosts: ['Printer.lan.', 'printer.lan:631', '10.0.0.1:80', 'fd00::1', '[fd00:0::1]:80']},
        home_assistant: {url: 'http://192.168.1.20:8123/', token: {prefix: 'Bearer ', file: '/etc/toolgate/ha'},
            allow: ['light.*', 'switch.turn_on', 'lock.lock']},
        dhcp_leases: {enabled: true}, device_reboot: {enabled: true}",
    );
    assert!(outcome.findings.is_empty(), "{:#?}", outcome.findings);
    let got = outcome.config.targets;
    let names: Vec<_> = got.wake.iter().map(|own| (own.name.as_str(), own.mac, own.interface.as_deref())).collect();
    let mac = [0x00, 0x11, 0x22, 0xaa, 0xbb, 0xcc];
    assert_eq!(names, [("nas", mac, Some("br-lan")), ("tv", [2, 0, 0, 0, 0, 1], None)]);
    assert_eq!(got.restart, ["nginx.service", "ssh.service"]);
    assert_eq!(got.restart_critical, ["ssh.service"]);
    assert_eq!((got.log_units, got.log_files), (vec!["nginx.service".into()], vec!["/var/log/app.log".into()]));
    assert_eq!(got.roots, ["/var/log/app"]);
    let [heater, door] = &got.gpio[..] else { panic!("{:?}", got.gpio) };
    assert_eq!((heater.name.as_str(), heater.chip.as_str()), ("heater", "pinctrl-bcm2711"));
    assert_eq!((&heater.place, heater.direction, heater.active_low), (&Place::Offset(17), Direction::Out, true));
    assert_eq!((&door.place, door.direction), (&Place::Named("GPIO22".into()), Direction::In));
    assert!(!door.active_low);
    assert_eq!(got.allow, [Net::parse("192.168.1.0/24").unwrap(), Net::parse("fd00::/8").unwrap()]);
    let broker = got.mqtt.unwrap();
    assert_eq!((broker.host.as_str(), broker.port, broker.username.as_deref()), ("broker.lan", 1883, Some("pi")));
    assert_eq!(broker.topics, ["home/", "a/b"]);
    assert_eq!(got.fetch, ["printer.lan", "printer.lan:631", "10.0.0.1:80", "[fd00::1]", "[fd00::1]:80"]);
    let home = got.home.unwrap();
    assert_eq!((home.host.as_str(), home.port), ("192.168.1.20", 8123));
    assert_eq!(home.allow, ["light.*", "switch.turn_on", "lock.lock"]);
    assert!(got.leases && got.reboot);
    // The places in the targets are those in the list.
    let secrets = outcome.config.secrets;
    let keys: Vec<&str> = secrets.iter().map(|held| held.key.as_str()).collect();
    assert_eq!(keys, ["tools.device.home_assistant.token", "tools.device.mqtt_publish.password"]);
    let prefix = Some("Bearer ".to_owned());
    assert_eq!(secrets[0].secret, SecretRef::File { path: "/etc/toolgate/ha".into(), prefix });
    assert_eq!(home.token.reveal(), None);
    secrets[0].place.fill(Secret::new("t0k").unwrap());
    assert_eq!((home.token.reveal(), broker.password.unwrap().reveal()), (Some(&b"t0k"[..]), None));
}

#[test]
fn slips_find_their_key() {
    check("wake_on_lam: {}", &["! wake_on_lam: unknown key \"wake_on_lam\"; did you mean \"wake_on_lan\"?"]);
    check(
        "file_list: {}",
        &[
            "! file_list: unknown key \"file_list\"; known here: device_reboot, dhcp_leases, file_read, gpio, home_assistant, http_fetch, log_tail, mqtt_publish, net, service_restart, wake_on_lan",
        ],
    );
    check("log_tail: {unit: []}", &["! log_tail.unit: unknown key \"unit\"; did you mean \"units\"?"]);
    check(
        "gpio: {lines: {a: {chip: 'c', line: 1, direction: 'ot', actvieLow: 1}}}",
        &[
            "! gpio.lines.a.direction: \"ot\" is not one of in, out; did you mean \"out\"?",
            "! gpio.lines.a.actvieLow: unknown key \"actvieLow\"; did you mean \"activeLow\"?",
        ],
    );
    check("device_reboot: true", &["! device_reboot: expected an object, got true or false"]);
    check("gpio: {lines: {a: 17}}", &["! gpio.lines.a: expected an object, got a number"]);
    check("net: {allow: '10.0.0.0/8'}", &["! net.allow: expected a list of texts, got text"]);
    check(
        "mqtt_publish: {broker: 7, topics: [1]}, home_assistant: null",
        &[
            "! mqtt_publish.broker: expected text, got a number",
            "! mqtt_publish.topics[0]: expected text, got a number",
            "! home_assistant: expected an object, got null",
        ],
    );
}

#[test]
fn every_mistake_at_once() {
    check(
        "wake_on_lan: {hosts: {a: {}, 'b c': {mac: 'x'}}}, service_restart: {units: ['sshd']}, home_assistant: {}",
        &[
            "! home_assistant.url: required here",
            "! home_assistant.token: required here",
            "! service_restart.units[0]: without it you may not reach this device again; name it in critical as well, if you mean it",
            "! wake_on_lan.hosts.a.mac: required here",
            "! wake_on_lan.hosts[\"b c\"]: must be a name of letters, digits, _ . and -",
            "! wake_on_lan.hosts[\"b c\"].mac: expected a hardware address such as 00:11:22:aa:bb:cc, got \"x\"",
        ],
    );
}

#[test]
fn machines_to_wake() {
    let mac = |text: &str, wrong: &str| {
        let expected = format!("! wake_on_lan.hosts.a.mac: {wrong}");
        let expected = [expected.as_str()];
        check(
            &format!("wake_on_lan: {{hosts: {{a: {{mac: '{text}'}}}}}}"),
            if wrong.is_empty() { &[] } else { &expected },
        );
    };
    mac("00:11:22:33:44:55", "");
    mac("fe-ff-ff-ff-ff-fe", "");
    mac("", "required here");
    mac("00:00:00:00:00:00", "no machine has the address zero");
    let group = "this is a group's address; name the machine's own";
    mac("ff:ff:ff:ff:ff:ff", group);
    mac("01:00:5e:00:00:01", group);
    mac("33-33-00-00-00-01", group);
    for text in [
        "00:11:22:33:44",
        "00:11:22:33:44:55:66",
        "00:11:22-33:44:55",
        "001122334455",
        "0:11:22:33:44:55",
        "+1:11:22:33:44:55",
        "00:11:22:33:44:5g",
        "00:11:22:33:44:é",
    ] {
        mac(text, &format!("expected a hardware address such as 00:11:22:aa:bb:cc, got \"{text}\""));
    }
    check(
        "wake_on_lan: {hosts: {a: {mac: '00:11:22:33:44:55', interface: '-x'}, b: {mac: '00:11:22:33:44:55', interface: 'abcdefghijklmnop'}}}",
        &[
            "! wake_on_lan.hosts.a.interface: must be an interface name: letters, digits, _ . @ - after a first letter or digit",
            "! wake_on_lan.hosts.b.interface: must have at most 15 characters",
        ],
    );
    let long = "n".repeat(65);
    check(
        &format!("wake_on_lan: {{hosts: {{{long}: {{mac: '00:11:22:33:44:55'}}}}}}"),
        &[&format!("! wake_on_lan.hosts[\"{}…\"]: must have at most 64 characters", &long[..64])],
    );
}

#[test]
fn units_that_cut_the_operator_off_are_named_twice() {
    let vital = |unit: &str, expected: bool| {
        let alone = load(&format!("service_restart: {{units: ['{unit}']}}"));
        assert_eq!(alone.refused(), expected, "{unit}");
        assert!(expected || alone.config.targets.restart == [unit], "{unit}");
        let twice = targets(&format!("service_restart: {{units: ['{unit}'], critical: ['{unit}']}}"));
        assert_eq!((twice.restart, twice.restart_critical), (vec![unit.to_owned()], vec![unit.to_owned()]));
    };
    for unit in [
        "toolgate.service",
        "toolgate",
        "tailscaled.service",
        "ssh",
        "sshd.service",
        "ssh.socket",
        "sshd@1.service",
        "dropbear",
        "network",
        "networking.service",
        "network-online.target",
        "systemd-networkd.service",
        "systemd-networkd.socket",
        "NetworkManager.service",
        "wpa_supplicant@wlan0.service",
    ] {
        vital(unit, true);
    }
    for unit in ["nginx.service", "sshguard.service", "toolgate-metrics.service", "systemd-timesyncd.service", "nginx"]
    {
        vital(unit, false);
    }
    check(
        "service_restart: {units: ['--user', 'nginx.service', ''], critical: ['sshd']}",
        &[
            "service_restart.critical[0]: this permits nothing until units names it as well",
            "! service_restart.units[0]: must be a unit name: letters, digits, _ . @ : - after a first letter or digit",
            "! service_restart.units[2]: required here",
        ],
    );
    check(
        &format!("log_tail: {{units: ['{}', 'a/b']}}", "u".repeat(129)),
        &[
            "! log_tail.units[0]: must have at most 128 characters",
            "! log_tail.units[1]: must be a unit name: letters, digits, _ . @ : - after a first letter or digit",
        ],
    );
}

#[test]
fn paths_lie_below_something() {
    let root = |text: &str, expected: Result<&str, &str>| {
        let device = format!("file_read: {{roots: ['{text}']}}");
        match expected {
            Ok(path) => assert_eq!(targets(&device).roots, [path]),
            Err(wrong) => check(&device, &[&format!("! file_read.roots[0]: {wrong}")]),
        }
    };
    root("/var/log", Ok("/var/log"));
    root("/mnt/a b", Ok("/mnt/a b"));
    root("//srv///x/", Ok("/srv/x"));
    root("/process", Ok("/process"));
    root("/a..b/.c", Ok("/a..b/.c"));
    root("var/log", Err("expected an absolute path, such as /var/log/app"));
    root("~/x", Err("expected an absolute path, such as /var/log/app"));
    for text in ["/var/../etc", "/..", "/./proc", "/var/log/."] {
        root(text, Err("a path is written here without . and .."));
    }
    for text in ["/", "//", "///"] {
        root(text, Err("this is everything on the device; name what lies below it"));
    }
    for text in ["/proc", "/proc/", "//proc/1", "/sys/class", "/dev", "/dev/shm"] {
        root(text, Err("what lies here are the kernel's values and devices, not files; name another place"));
    }
    root(" ", Err("required here"));
    check(
        "log_tail: {files: ['/var/log/a', '/var/log/', 'a', '/dev/kmsg']}",
        &[
            "! log_tail.files[1]: expected a file, not a directory",
            "! log_tail.files[2]: expected an absolute path, such as /var/log/app",
            "! log_tail.files[3]: what lies here are the kernel's values and devices, not files; name another place",
        ],
    );
    check(
        "file_read: {roots: ['/a\\u0000b']}",
        &["! file_read.roots[0]: this text holds control characters; remove them"],
    );
}

#[test]
fn lines_of_chips() {
    let line = |fields: &str, expected: &[&str]| {
        let full: Vec<String> = expected.iter().map(|line| line.replace("~", "gpio.lines.a")).collect();
        let full: Vec<&str> = full.iter().map(String::as_str).collect();
        check(&format!("gpio: {{lines: {{a: {{{fields}}}}}}}"), &full);
    };
    line("", &["! ~.chip: required here", "! ~.line: required here", "! ~.direction: required here"]);
    line("chip: 'c', line: -1, direction: 'in'", &["! ~.line: -1 is out of range; it must be 0 to 65535"]);
    line("chip: 'c', line: 65536, direction: 'in'", &["! ~.line: 65536 is out of range; it must be 0 to 65535"]);
    line(
        "chip: 'c', line: 1.5, direction: 'in'",
        &["! ~.line: expected a whole number, 0 to 65535, got one with a fraction"],
    );
    line(
        "chip: 'c', line: [1], direction: 'in'",
        &["! ~.line: expected text, or whole number, 0 to 65535, got a list"],
    );
    line("chip: 'c', line: '', direction: 'in'", &["! ~.line: required here"]);
    line(
        "chip: 'c', line: '17', direction: 'in'",
        &["~.line: in quotes this is a line's name; an offset stands without them"],
    );
    line(
        "chip: 'gpiochip0', line: 1, direction: 'in'",
        &["~.chip: a chip is found by its label, such as pinctrl-bcm2711; gpiochip numbers change"],
    );
    line("chip: 'c', line: 1, direction: 'both'", &["! ~.direction: \"both\" is not one of in, out"]);
    check(
        "gpio: {lines: {'a/b': {chip: 'c', line: 1, direction: 'in'}}}",
        &["! gpio.lines[\"a/b\"]: must be a name of letters, digits, _ . and -"],
    );
}

#[test]
fn networks_of_probes() {
    let net = |text: &str, expected: &str| {
        let expected: Vec<String> =
            expected.split_terminator('|').map(|line| line.replace("~", "net.allow[0]:")).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check(&format!("net: {{allow: ['{text}']}}"), &expected);
    };
    for text in ["10.0.0.0/8", "192.168.1.7", "fd7a:115c:a1e0::/48", "100.64.0.0/10", "fe80::/10", "169.254.0.0/15"] {
        net(text, "");
    }
    for text in ["0.0.0.0/0", "::/0"] {
        net(text, "~ this block holds every address: probes may go anywhere");
    }
    for text in [
        "127.0.0.1",
        "127.0.0.0/8",
        "::1",
        "::ffff:127.0.0.1",
        "0.0.0.0",
        "::",
        "169.254.169.254",
        "224.0.0.251",
        "255.255.255.255",
        "100.100.100.100",
        "fd7a:115c:a1e0::53",
        "ff02::1",
    ] {
        net(text, "~ these addresses stay denied, whatever is named here");
    }
    net("10.0.0.0/33", "! ~ \"10.0.0.0/33\" is no address and no CIDR block, such as 192.168.1.0/24");
    net("printer.lan", "! ~ \"printer.lan\" is no address and no CIDR block, such as 192.168.1.0/24");
    net("", "! ~ required here");
}

#[test]
fn brokers() {
    let address = |text: &str, expected: Result<(&str, u16), &str>| {
        let device = format!("mqtt_publish: {{broker: '{text}', topics: ['x/']}}");
        match expected {
            Ok((host, port)) => {
                let broker = targets(&device).mqtt.unwrap();
                assert_eq!((broker.host.as_str(), broker.port), (host, port), "{text}");
            }
            Err(wrong) => check(&device, &[&format!("! mqtt_publish.broker: {wrong}")]),
        }
    };
    address("broker.lan", Ok(("broker.lan", 1883)));
    address("192.168.1.4:1884", Ok(("192.168.1.4", 1884)));
    address("mqtt://[fd00::1]/", Ok(("fd00::1", 1883)));
    address("MQTT://Pi:1", Ok(("pi", 1)));
    let plain = "expected host, host:port or mqtt://host:port; a user goes into username and password";
    for text in [
        "mqtt://pi:secret@broker.lan",
        "pi@broker.lan",
        "http://broker.lan",
        "broker.lan/x",
        "broker.lan:0",
        "broker.lan:65536",
        "broker.lan:",
        "broker.lan:+1",
        "a:1:2",
        "a b",
        "a..b",
        "-a",
        "*",
        "[broker]:1",
        "[1.2.3.4]",
        "[fd00::1",
        "[fd00::1]x",
        "fe80::1%eth0",
        "127.1",
        "2130706433",
        "010.0.0.1",
        "brök",
    ] {
        address(text, Err(plain));
    }
    for text in ["mqtts://broker.lan", "ssl://x", "MQTTS://x:8883"] {
        address(text, Err("this build speaks no TLS; name the broker's plain port, such as mqtt://broker.lan:1883"));
    }
    check("mqtt_publish: {}", &["! mqtt_publish.broker: required here"]);
    check(
        "mqtt_publish: {broker: 'b', password: 'p', topics: ['home/#', '+/x', ' ']}",
        &[
            "! mqtt_publish.username: required beside a password",
            "! mqtt_publish.topics[0]: a prefix of topics holds no + and no #; home/ permits everything below home",
            "! mqtt_publish.topics[1]: a prefix of topics holds no + and no #; home/ permits everything below home",
            "! mqtt_publish.topics[2]: required here",
        ],
    );
    check(
        "mqtt_publish: {broker: 'b', topics: ['a\\u0000']}",
        &["! mqtt_publish.topics[0]: this text holds control characters; remove them"],
    );
}

#[test]
fn hosts_to_fetch_from() {
    let wrong = "expected printer.lan or printer.lan:8080: a host without scheme, user, path and *";
    for text in ["http://printer.lan", "*.lan", "printer.lan/", "u:p@printer.lan", "printer.lan:http", "127.1"] {
        check(&format!("http_fetch: {{hosts: ['a', '{text}']}}"), &[&format!("! http_fetch.hosts[1]: {wrong}")]);
    }
}

#[test]
fn home_assistants() {
    let url = |text: &str, expected: &str| {
        let line = expected.replace('~', "home_assistant.url:");
        let expected = [line.as_str()];
        check(
            &format!("home_assistant: {{url: '{text}', token: {{env: 'HA'}}}}"),
            if line.is_empty() { &[] } else { &expected },
        );
    };
    url("http://ha.lan:8123", "");
    url("HTTP://[fd00::1]:8123/", "");
    url("http://ha.lan", "~ without a port this is port 80; Home Assistant itself listens on 8123");
    let tls = "! ~ this build speaks no TLS; name Home Assistant's plain address, such as http://192.168.1.20:8123";
    url("https://ha.lan:8123", tls);
    for text in ["ha.lan:8123", "http://u:p@ha.lan:8123", "http://ha.lan:8123/api", "ws://ha.lan", "http://", "http:/x"]
    {
        url(text, "! ~ expected http://host:port without user and path, such as http://192.168.1.20:8123");
    }
    let allow = |text: &str, expected: &str| {
        let line = format!("! home_assistant.allow[0]: {expected}");
        let expected = [line.as_str()];
        let device = format!("home_assistant: {{url: 'http://h:1', token: {{env: 'HA'}}, allow: ['{text}']}}");
        check(&device, if line.ends_with(": ") { &[] } else { &expected });
    };
    for text in ["light.*", "switch.turn_on", "script.x2", "lock.unlock", "homeassistant.restart", "locks.*"] {
        allow(text, "");
    }
    let shape = "expected domain.service or domain.*, such as switch.turn_on or light.*";
    for text in ["*", "*.*", "light", "light.", ".x", "light.turn*", "Light.*", "light.a.b", "light.*.*", "a/../b.c"] {
        allow(text, shape);
    }
    let exact = "this domain opens doors or runs anything; name each of its services, such as lock.lock";
    for domain in ["lock", "alarm_control_panel", "homeassistant", "shell_command", "hassio"] {
        allow(&format!("{domain}.*"), exact);
    }
}

#[test]
fn secrets_are_never_quoted() {
    let home = "home_assistant: {url: 'http://h:1', token:";
    check(&format!("{home} ''}}"), &["! home_assistant.token: required here"]);
    check(&format!("{home} {{}}}}"), &["! home_assistant.token: name exactly one of file and env"]);
    check(
        &format!("{home} '${{UNSET}}'}}"),
        &[
            "home_assistant.token: environment variable \"UNSET\" is not set; the placeholder is kept",
            "! home_assistant.token: the secret is missing: set the variable its placeholder names, or remove the key",
        ],
    );
    let set = load(&format!("{home} '${{SET}}'}}"));
    assert_eq!(set.config.secrets[0].secret, SecretRef::Text(Secret::new("value").unwrap()));
    let secret = "hunter2-hunter2";
    for device in [
        "home_assistant: {url: 'http://u:hunter2-hunter2@h:1', token: 'hunter2-hunter2\\n1'}",
        "home_assistant: {url: 'https://hunter2-hunter2@h', token: ['hunter2-hunter2']}",
        "mqtt_publish: {broker: 'mqtt://u:hunter2-hunter2@b', password: {value: 'hunter2-hunter2'}}",
        "http_fetch: {hosts: ['u:hunter2-hunter2@h', 'http://h/?token=hunter2-hunter2']}",
    ] {
        let outcome = load(device);
        assert!(outcome.refused(), "{device}");
        assert!(outcome.findings.iter().all(|finding| !finding.to_string().contains(secret)), "{device}");
        assert!(!format!("{outcome:?}").contains(secret), "{device}");
        let json = crate::config::redact(&["{tools: {device: {", device, "}}}"].concat()).unwrap();
        assert!(!json.contains(secret), "{json}");
    }
    let good = load("home_assistant: {url: 'http://h:1', token: 'hunter2-hunter2'}");
    good.config.secrets[0].place.fill(Secret::new(secret).unwrap());
    assert!(!format!("{good:?}").contains(secret));
}

#[test]
fn keys_can_be_looked_up() {
    let found = |path: &str| crate::config::schema_lookup(path).map(|info| (info.path, info.types));
    assert_eq!(
        found("tools.device.gpio.lines.heater.line"),
        Some(("tools.device.gpio.lines.*.line", &["string", "integer"][..]))
    );
    assert_eq!(found("tools.device.net.allow[0]").map(|(path, _)| path), Some("tools.device.net.allow"));
    assert_eq!(found("tools.device.exec"), None);
}
