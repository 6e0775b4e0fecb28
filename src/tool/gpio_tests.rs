//! `gpio_read` and `gpio_write` on chips that behave as the kernel's do.

use super::*;
use crate::limits::ASIDE_MILLIS;
use crate::tool::fixture::{Scratch, asked, bare, call, planned};
use crate::tool::targets::Targets;
use std::rc::Rc;

/// One line of a chip that was made up.
#[derive(Default)]
struct Wire {
    name: &'static str,
    /// Who holds it.
    consumer: String,
    output: bool,
    /// What a voltmeter would show.
    high: bool,
    active_low: bool,
    /// Every level it was driven to, and `f` when it was freed.
    story: String,
    /// It does not obey so many times.
    deaf: u32,
}

/// A chip: number, label and lines.
type Made = (usize, &'static str, Vec<Wire>);

/// All chips.
#[derive(Default, Clone)]
struct Bench(Arc<Mutex<Vec<Made>>>);

impl Bench {
    fn with<T>(&self, label: &str, offset: u32, look: impl FnOnce(&mut Wire) -> T) -> Result<T, Errno> {
        let mut chips = self.0.lock().unwrap();
        let lines = &mut chips.iter_mut().find(|chip| chip.1 == label).ok_or(Errno::NODEV)?.2;
        lines.get_mut(offset as usize).map(look).ok_or(Errno::INVAL)
    }
    fn story(&self, label: &str, offset: u32) -> String {
        self.with(label, offset, |wire| wire.story.clone()).unwrap()
    }
}

impl Chips for Bench {
    fn open(&self, number: usize) -> Result<Box<dyn Chip>, Errno> {
        match self.0.lock().unwrap().iter().find(|chip| chip.0 == number) {
            None => Err(Errno::NOENT),
            Some((_, "denied", _)) => Err(Errno::ACCESS),
            Some((_, label, lines)) => {
                Ok(Box::new(Opened { bench: self.clone(), label, lines: u32::try_from(lines.len()).unwrap() }))
            }
        }
    }
}

struct Opened {
    bench: Bench,
    label: &'static str,
    lines: u32,
}

impl Chip for Opened {
    fn label(&self) -> &str {
        self.label
    }
    fn lines(&self) -> u32 {
        self.lines
    }
    fn line(&self, offset: u32) -> Result<(String, String), Errno> {
        self.bench.with(self.label, offset, |wire| (wire.name.to_owned(), wire.consumer.clone()))
    }
    fn take(&self, offset: u32, flags: u64, value: bool) -> Result<Box<dyn Held>, Errno> {
        self.bench.with(self.label, offset, |wire| {
            if !wire.consumer.is_empty() {
                return Err(Errno::BUSY);
            }
            wire.consumer = String::from(CONSUMER);
            set(wire, flags, value);
            Ok(())
        })??;
        Ok(Box::new(Taken(self.bench.clone(), self.label, offset)))
    }
}

fn set(wire: &mut Wire, flags: u64, value: bool) {
    wire.active_low = flags & ACTIVE_LOW != 0;
    if flags & INPUT != 0 {
        wire.output = false;
    }
    if flags & OUTPUT != 0 {
        wire.output = true;
        drive(wire, value);
    }
}

fn drive(wire: &mut Wire, value: bool) {
    wire.high = value != wire.active_low;
    wire.story.push(if wire.high { '1' } else { '0' });
}

struct Taken(Bench, &'static str, u32);

impl Held for Taken {
    fn value(&self) -> Result<bool, Errno> {
        self.0.with(self.1, self.2, |wire| wire.high != wire.active_low)
    }
    fn drive(&self, value: bool) -> Result<(), Errno> {
        self.0.with(self.1, self.2, |wire| match wire.deaf.checked_sub(1) {
            Some(left) => {
                wire.deaf = left;
                Err(Errno::IO)
            }
            None if wire.output => {
                drive(wire, value);
                Ok(())
            }
            None => Err(Errno::PERM),
        })?
    }
    fn configure(&self, flags: u64, value: bool) -> Result<(), Errno> {
        self.0.with(self.1, self.2, |wire| set(wire, flags, value))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0
            .with(self.1, self.2, |wire| {
                wire.consumer.clear();
                wire.story.push('f');
            })
            .unwrap();
    }
}

fn line(name: &str, chip: &str, place: Place, direction: Direction, active_low: bool) -> Line {
    Line { name: name.to_owned(), chip: chip.to_owned(), place, direction, active_low }
}

/// A Raspberry Pi 5 as a kernel of 2023 numbered it, or as one of 2024 does.
fn bench(number: usize) -> (Bench, Host) {
    let wire = |name| Wire { name, ..Wire::default() };
    let mut header = vec![wire("ID_SDA"), wire("GPIO17"), wire("GPIO27"), wire("GPIO22")];
    header[3].consumer = String::from("pwm\x1b[1m");
    header[2].high = true;
    header[2].output = true;
    let bench = Bench::default();
    bench.0.lock().unwrap().extend([
        (10, "gpio-brcmstb@107d508500", vec![wire("-")]),
        (number, "pinctrl-rp1", header),
        (12, "denied", vec![]),
    ]);
    let mut host = bare(&[]);
    host.pins = Arc::new(Pins { chips: Box::new(bench.clone()), ..Pins::new(Root::new("/nonexistent".into())) });
    let rp1 = |name, place, direction, low| line(name, "pinctrl-rp1", place, direction, low);
    let gpio = vec![
        rp1("door", Place::Named(String::from("ID_SDA")), Direction::In, false),
        rp1("door_low", Place::Offset(0), Direction::In, true),
        rp1("heater", Place::Named(String::from("GPIO17")), Direction::Out, false),
        rp1("lamp", Place::Offset(2), Direction::Out, true),
        rp1("busy", Place::Offset(3), Direction::Out, false),
        rp1("beyond", Place::Offset(4), Direction::Out, false),
        rp1("unnamed", Place::Named(String::from("GPIO99")), Direction::In, false),
        line("absent", "pinctrl-bcm2711", Place::Offset(0), Direction::Out, false),
    ];
    *host.targets.borrow_mut() = Rc::new(Targets { gpio, ..Targets::default() });
    (bench, host)
}

fn ask(host: &Host, tool: &str, args: &str) -> String {
    let Outcome::Done { details, .. } = call(host, tool, args) else { panic!("{tool} {args}") };
    details
}

fn get(host: &Host, name: &str) -> String {
    ask(host, "gpio_read", &format!("{{\"line\":\"{name}\"}}"))
}

fn put(host: &Host, name: &str, more: &str) -> String {
    ask(host, "gpio_write", &format!("{{\"line\":\"{name}\",{more}}}"))
}

#[test]
fn chips_are_found_by_label_whatever_their_number() {
    for number in [0, 4, GPIO_CHIPS - 1] {
        let (_, host) = bench(number);
        present(&host).expect("a chip");
        writable(&host).expect("a chip");
        assert_eq!(get(&host, "door"), "{\"line\":\"door\",\"value\":0,\"consumer\":null}");
    }
    let (_, host) = bench(GPIO_CHIPS);
    let why = present(&host).unwrap_err();
    assert!(why.starts_with("tools.device.gpio.lines: no GPIO chip that may be opened"), "{why}");
    assert!(get(&host, "door").contains("line: no GPIO chip"));
}

#[test]
fn absence_names_the_key() {
    assert_eq!(present(&bare(&[])).unwrap_err(), "tools.device.gpio.lines names no line");
    let (_, host) = bench(0);
    let inputs = vec![line("door", "pinctrl-rp1", Place::Offset(0), Direction::In, false)];
    *host.targets.borrow_mut() = Rc::new(Targets { gpio: inputs, ..Targets::default() });
    present(&host).expect("a chip");
    assert_eq!(writable(&host).unwrap_err(), "tools.device.gpio.lines names no line with direction out");
    let none = vec![line("door", "absent", Place::Offset(0), Direction::Out, false)];
    let tmp = Scratch::new("gpio");
    tmp.write("dev/gpiochip0", b"not a device");
    tmp.fifo("dev/gpiochip1");
    let host = tmp.host();
    *host.targets.borrow_mut() = Rc::new(Targets { gpio: none, ..Targets::default() });
    assert_eq!(writable(&host).unwrap_err(), "tools.device.gpio.lines: no GPIO chip has the label absent");
}

#[test]
fn reading() {
    let (bench, host) = bench(0);
    assert_eq!(get(&host, "door_low"), "{\"line\":\"door_low\",\"value\":1,\"consumer\":null}");
    // An input is let go of at once.
    assert_eq!(bench.story("pinctrl-rp1", 0), "f");
    // An output that somebody set before us (the firmware) is looked at as it is, and kept so.
    assert_eq!(get(&host, "lamp"), "{\"line\":\"lamp\",\"value\":0,\"consumer\":\"toolgate\"}");
    assert_eq!(get(&host, "lamp"), "{\"line\":\"lamp\",\"value\":0,\"consumer\":\"toolgate\"}");
    assert_eq!(bench.story("pinctrl-rp1", 2), "");
    assert!(bench.with("pinctrl-rp1", 2, |wire| wire.output && wire.high).unwrap());
    for (name, why) in [
        ("busy", "line: is held by pwm\\\\u{1b}[1m"),
        ("beyond", "line: is beyond the last line of its chip"),
        ("unnamed", "line: is not there: its chip has no line called GPIO99"),
        ("absent", "line: no GPIO chip that may be opened"),
    ] {
        let no = get(&host, name);
        assert!(no.starts_with("{\"status\":\"error\"") && no.contains(why), "{no}");
    }
    assert!(get(&host, "GPIO17").starts_with("{\"status\":\"forbidden\""));
    assert!(matches!(call(&host, "gpio_read", "{\"line\":\"a/b\"}"), Outcome::Input(_)));
}

#[test]
fn writing() {
    let (bench, host) = bench(4);
    assert_eq!(put(&host, "heater", "\"value\":1"), "{\"line\":\"heater\",\"value\":1}");
    assert_eq!(get(&host, "heater"), "{\"line\":\"heater\",\"value\":1,\"consumer\":\"toolgate\"}");
    assert_eq!(put(&host, "heater", "\"value\":0"), "{\"line\":\"heater\",\"value\":0}");
    // It stays in our possession while the value must last.
    assert_eq!(bench.story("pinctrl-rp1", 1), "10");
    // Looked at first, then driven; and 1 means low.
    get(&host, "lamp");
    assert_eq!(put(&host, "lamp", "\"value\":1"), "{\"line\":\"lamp\",\"value\":1}");
    put(&host, "lamp", "\"value\":0");
    assert_eq!(bench.story("pinctrl-rp1", 2), "01");
    assert!(put(&host, "busy", "\"value\":1").contains("is held by pwm"));
    assert_eq!(
        put(&host, "door", "\"value\":1"),
        "{\"status\":\"forbidden\",\"error\":\"line: has not direction out in tools.device.gpio.lines\"}"
    );
    for junk in [
        "\"value\":2",
        "\"value\":-1",
        "\"value\":true",
        "\"value\":1,\"pulse_ms\":0",
        "\"value\":1,\"pulse_ms\":60001",
    ] {
        let args = format!("{{\"line\":\"heater\",{junk}}}");
        assert!(matches!(call(&host, "gpio_write", &args), Outcome::Input(_)), "{junk}");
    }
    drop(host);
    assert_eq!(bench.story("pinctrl-rp1", 1), "10f");
}

/// Runs what goes on after calls until the line's story is as expected.
fn until(host: &Host, bench: &Bench, offset: u32, expected: &str) {
    let told = aside::in_time(Duration::from_millis(10 * ASIDE_MILLIS), async {
        while bench.story("pinctrl-rp1", offset) != expected {
            smol::Timer::after(Duration::from_millis(1)).await;
        }
        Some(())
    });
    let came = smol::block_on(host.tasks.run(told));
    assert!(came.is_some(), "{} is not {expected}", bench.story("pinctrl-rp1", offset));
}

#[test]
fn a_pulse_goes_on_after_its_answer() {
    let (bench, host) = bench(0);
    let answer = put(&host, "heater", "\"value\":1,\"pulse_ms\":20");
    assert_eq!(answer, "{\"line\":\"heater\",\"value\":1,\"pulse_ms\":20}");
    assert_eq!(bench.story("pinctrl-rp1", 1), "1");
    until(&host, &bench, 1, "10");
    put(&host, "heater", "\"value\":0,\"pulse_ms\":1");
    until(&host, &bench, 1, "1001");
}

#[test]
fn one_pulse_at_a_time_and_a_plain_value_ends_it() {
    let (bench, host) = bench(0);
    put(&host, "heater", "\"value\":1,\"pulse_ms\":60000");
    let second = put(&host, "heater", "\"value\":1,\"pulse_ms\":5");
    assert_eq!(second, "{\"status\":\"error\",\"error\":\"line: has a pulse going on\"}");
    // Another line may have its own.
    put(&host, "lamp", "\"value\":1,\"pulse_ms\":5");
    until(&host, &bench, 2, "01");
    put(&host, "heater", "\"value\":0");
    put(&host, "heater", "\"value\":1,\"pulse_ms\":5");
    until(&host, &bench, 1, "1010");
}

#[test]
fn a_refused_pulse_leaves_nothing_behind() {
    let (bench, host) = bench(0);
    assert!(put(&host, "busy", "\"value\":1,\"pulse_ms\":1").contains("is held by"));
    // Its end waits for a beginning that cannot come any more, and is gone.
    while host.tasks.try_tick() {}
    assert!(host.tasks.is_empty());
    assert_eq!(bench.story("pinctrl-rp1", 3), "");
}

#[test]
fn a_call_that_is_dropped_does_not_leave_the_line_on() {
    let (bench, host) = bench(0);
    let dropped = asked("gpio_write", "{\"line\":\"heater\",\"value\":1,\"pulse_ms\":5}");
    let slow = bench.0.lock().unwrap();
    smol::block_on(async {
        let mut writing = write(&host, &dropped);
        // It is polled until the thread works, and then given up.
        assert!(smol::future::poll_once(&mut writing).await.is_none());
    });
    drop(slow);
    until(&host, &bench, 1, "10");
}

#[test]
fn a_line_that_does_not_obey_is_told_again() {
    let (bench, host) = bench(0);
    put(&host, "heater", "\"value\":1,\"pulse_ms\":1");
    bench.with("pinctrl-rp1", 1, |wire| wire.deaf = 1).unwrap();
    until(&host, &bench, 1, "10");
}

#[test]
fn a_gateway_that_ends_in_a_pulse_puts_the_line_to_rest() {
    let (bench, host) = bench(0);
    put(&host, "heater", "\"value\":1,\"pulse_ms\":60000");
    drop(host);
    assert_eq!(bench.story("pinctrl-rp1", 1), "10f");
}

#[test]
fn a_reload_lets_go_of_what_is_named_no_more() {
    let (bench, host) = bench(0);
    put(&host, "heater", "\"value\":1,\"pulse_ms\":60000");
    put(&host, "lamp", "\"value\":1");
    let mut fewer = Targets::clone(&host.targets());
    fewer.gpio.retain(|line| line.name != "heater");
    *host.targets.borrow_mut() = Rc::new(fewer);
    host.release_lines();
    until(&host, &bench, 1, "10f");
    assert_eq!(bench.story("pinctrl-rp1", 2), "0");
}

#[test]
fn the_number_of_lines_kept_is_bounded() {
    let (bench, host) = bench(0);
    let many = |_| Wire::default();
    bench.0.lock().unwrap().push((1, "many", (0..=GPIO_HELD).map(many).collect()));
    let gpio = (0..=GPIO_HELD)
        .map(|at| line(&format!("l{at}"), "many", Place::Offset(u32::try_from(at).unwrap()), Direction::Out, false));
    *host.targets.borrow_mut() = Rc::new(Targets { gpio: gpio.collect(), ..Targets::default() });
    for at in 0..GPIO_HELD {
        assert!(put(&host, &format!("l{at}"), "\"value\":1").starts_with("{\"line\""));
    }
    let last = format!("l{GPIO_HELD}");
    assert!(put(&host, &last, "\"value\":1").contains(FULL) && get(&host, &last).contains(FULL));
    assert!(put(&host, "l0", "\"value\":0").starts_with("{\"line\""));
}

#[test]
fn what_a_call_would_do() {
    let (_, host) = bench(0);
    let would = |args: &str| planned(&host, "gpio_write", args, would);
    let pulse = "{\"line\":\"heater\",\"value\":1,\"pulse_ms\":5}";
    assert_eq!(would(pulse).expect("a plan"), pulse);
    assert!(would("{\"line\":\"door\",\"value\":1}").is_err());
    assert!(would("{\"line\":\"nothing\",\"value\":1}").is_err());
}

/// On a machine with a chip whose first three lines hang on nothing, `TOOLGATE_GPIO_CHIP` may say its label.
#[test]
fn a_real_chip_where_one_is_named() {
    let Ok(label) = std::env::var("TOOLGATE_GPIO_CHIP") else { return };
    let lines = |host: &Host| {
        let own = |name, offset, direction, low| line(name, &label, Place::Offset(offset), direction, low);
        let gpio = vec![
            own("plain", 0, Direction::Out, false),
            own("low", 1, Direction::Out, true),
            own("in", 2, Direction::In, false),
            own("beyond", 9_999, Direction::In, false),
        ];
        *host.targets.borrow_mut() = Rc::new(Targets { gpio, ..Targets::default() });
    };
    let (host, other) = (Host::new("/".into(), &[]), Host::new("/".into(), &[]));
    lines(&host);
    lines(&other);
    writable(&host).expect("the chip");
    for (name, value) in [("plain", 1), ("plain", 0), ("plain", 1), ("low", 0), ("low", 1)] {
        assert_eq!(
            put(&host, name, &format!("\"value\":{value}")),
            format!("{{\"line\":\"{name}\",\"value\":{value}}}")
        );
        assert!(get(&host, name).contains(&format!("\"value\":{value},")), "{name}: {}", get(&host, name));
    }
    assert!(get(&other, "plain").contains("line: is held by toolgate"), "{}", get(&other, "plain"));
    assert!(put(&other, "low", "\"value\":1").contains("line: is held by toolgate"));
    assert!(get(&host, "in").starts_with("{\"line\":\"in\",\"value\":"), "{}", get(&host, "in"));
    assert!(get(&host, "beyond").contains("beyond the last line"));
    put(&host, "low", "\"value\":0,\"pulse_ms\":20");
    let end = aside::in_time(Duration::from_millis(10 * ASIDE_MILLIS), async {
        let low =
            [Direction::Out, Direction::In].map(|way| line("low", &label, Place::Offset(1), way, true))[0].clone();
        while !host.pins.read(&low).expect("a value") {
            smol::Timer::after(Duration::from_millis(1)).await;
        }
        Some(())
    });
    smol::block_on(host.tasks.run(end)).expect("the end of the pulse");
    // Looked at as it is by somebody else once it is free: still an output, and then driven.
    drop(host);
    assert!(get(&other, "plain").contains("\"line\":\"plain\""), "{}", get(&other, "plain"));
    assert!(
        put(&other, "plain", "\"value\":0").contains("\"value\":0") && get(&other, "plain").contains("\"value\":0")
    );
}
