//! `gpio_read` and `gpio_write`: lines of GPIO chips that the operator named.
//!
//! The kernel frees a line when its descriptor is closed, and then its value may change: on a Raspberry Pi the pin may
//! become an input. So an output, once touched, stays in our possession until the configuration names it no more or
//! the gateway ends. A pulse goes on after its answer; if the gateway ends in the middle, the line goes to rest first.
//!
//! A line may belong to an expander behind a slow bus, so the kernel is asked on a thread of its own, and one at a time.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use smol::channel::{Receiver, bounded};

use super::aside::{self, Aside};
use super::chips::{CONSUMER, Chip, Chips, Devices, Held};
use super::host::Host;
use super::ioctl::{ACTIVE_LOW, INPUT, OUTPUT};
use super::object::Object;
use super::redact::clean;
use super::root::Root;
use super::targets::{Direction, Line, Place};
use super::{Call, Later, Outcome};
use crate::limits::{GPIO_CHIPS, GPIO_HELD, GPIO_LINES, GPIO_PULSE_REST, GPIO_PULSE_TRIES};

/// The chips, and the lines in our possession.
pub(super) struct Pins {
    pub chips: Box<dyn Chips>,
    aside: Aside,
    pulses: AtomicU32,
    kept: Mutex<Vec<Kept>>,
}

/// An output in our possession.
struct Kept {
    line: Line,
    held: Box<dyn Held>,
    /// Whether it is an output already, or was only looked at.
    driven: bool,
    /// The pulse that is going on, and the value it ends with.
    pulse: Option<(u32, bool)>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some((_, rest)) = self.pulse {
            // If it fails there is nobody left to tell.
            _ = self.held.drive(rest);
        }
    }
}

impl fmt::Debug for Pins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pins")
    }
}

/// Whether both mean the same line in the same way.
fn same(a: &Line, b: &Line) -> bool {
    (&a.chip, &a.place, a.active_low) == (&b.chip, &b.place, b.active_low)
}

fn flags(line: &Line, direction: u64) -> u64 {
    direction | if line.active_low { ACTIVE_LOW } else { 0 }
}

impl Pins {
    /// The chips below `root`, and no line.
    pub fn new(root: Root) -> Pins {
        Pins {
            chips: Box::new(Devices(root)),
            aside: Aside::default(),
            pulses: AtomicU32::new(0),
            kept: Mutex::default(),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn chip(&self, label: &str) -> Result<Box<dyn Chip>, String> {
        let mut denied = "";
        for number in 0..GPIO_CHIPS {
            match self.chips.open(number) {
                Ok(chip) if chip.label() == label => return Ok(chip),
                Err(Errno::ACCESS | Errno::PERM) => denied = " that may be opened (is this user in the group gpio?)",
                _ => {}
            }
        }
        Err(["no GPIO chip", denied, " has the label ", label].concat())
    }

    /// Takes `line`, which nobody of ours holds yet.
    fn take(&self, line: &Line, flags: u64, value: bool) -> Result<Box<dyn Held>, String> {
        let chip = self.chip(&line.chip)?;
        let offset = offset(&*chip, &line.place)?;
        chip.take(offset, flags, value).map_err(|error| match (error, chip.line(offset)) {
            (Errno::BUSY, Ok((_, consumer))) => ["is held by ", &clean(&consumer)].concat(),
            (error, _) => why(error),
        })
    }

    fn read(&self, line: &Line) -> Result<bool, String> {
        let mut kept = self.kept();
        if let Some(it) = kept.iter().find(|it| same(&it.line, line)) {
            return it.held.value().map_err(why);
        }
        if line.direction == Direction::In {
            return self.take(line, flags(line, INPUT), false)?.value().map_err(why);
        }
        // As it is: to make an output an input, only to look at it, would change what hangs on it.
        let held = self.take(line, flags(line, 0), false)?;
        let value = held.value().map_err(why)?;
        keep(&mut kept, Kept { line: line.clone(), held, driven: false, pulse: None })?;
        Ok(value)
    }

    fn write(&self, line: &Line, value: bool, pulse: Option<u32>) -> Result<(), String> {
        let pulse = pulse.map(|number| (number, !value));
        let mut kept = self.kept();
        let Some(it) = kept.iter_mut().find(|it| same(&it.line, line)) else {
            if kept.len() >= GPIO_HELD {
                return Err(String::from(FULL));
            }
            let held = self.take(line, flags(line, OUTPUT), value)?;
            return keep(&mut kept, Kept { line: line.clone(), held, driven: true, pulse });
        };
        if pulse.is_some() && it.pulse.is_some() {
            return Err(String::from("has a pulse going on"));
        }
        let done = if it.driven { it.held.drive(value) } else { it.held.configure(flags(line, OUTPUT), value) };
        done.map_err(why)?;
        // A plain value is meant to last: the pulse that was going on ends with it.
        (it.driven, it.pulse) = (true, pulse);
        Ok(())
    }

    /// Ends a pulse, unless it has ended otherwise.
    fn rest(&self, number: u32) -> Result<(), Errno> {
        for it in self.kept().iter_mut() {
            if let Some((_, rest)) = it.pulse.filter(|(own, _)| *own == number) {
                it.held.drive(rest)?;
                it.pulse = None;
            }
        }
        Ok(())
    }
}

const FULL: &str = "is one more than the gateway keeps at once";

fn keep(kept: &mut Vec<Kept>, it: Kept) -> Result<(), String> {
    if kept.len() >= GPIO_HELD {
        return Err(String::from(FULL));
    }
    kept.push(it);
    Ok(())
}

fn offset(chip: &dyn Chip, place: &Place) -> Result<u32, String> {
    match place {
        Place::Offset(offset) if *offset < chip.lines() => Ok(*offset),
        Place::Offset(_) => Err(String::from("is beyond the last line of its chip")),
        Place::Named(name) => {
            for offset in 0..chip.lines().min(GPIO_LINES) {
                if chip.line(offset).map_err(why)?.0 == *name {
                    return Ok(offset);
                }
            }
            Err(["is not there: its chip has no line called ", name].concat())
        }
    }
}

/// What the kernel said, in words that follow "line:".
fn why(error: Errno) -> String {
    String::from(match error {
        Errno::ACCESS | Errno::PERM => "may not be used by this program",
        Errno::BUSY => "is held by somebody else",
        Errno::INVAL | Errno::NOTTY => "is refused by the kernel: it is older than 5.10, or the pin has another use",
        _ => "is refused by the kernel",
    })
}

/// Whether the operator named lines, and one of their chips is there.
///
/// # Errors
/// Names the key, or the chip that is missing.
pub(super) fn present(host: &Host) -> Result<(), String> {
    found(host, |_| true, "tools.device.gpio.lines names no line")
}

/// The same of lines that may be written.
///
/// # Errors
/// Names the key, or the chip that is missing.
pub(super) fn writable(host: &Host) -> Result<(), String> {
    found(host, output, "tools.device.gpio.lines names no line with direction out")
}

fn output(line: &Line) -> bool {
    line.direction == Direction::Out
}

fn found(host: &Host, counts: fn(&Line) -> bool, none: &str) -> Result<(), String> {
    let mut why = String::from(none);
    for line in host.targets().gpio.iter().filter(|line| counts(line)) {
        match host.pins.chip(&line.chip) {
            Ok(_) => return Ok(()),
            Err(missing) => why = ["tools.device.gpio.lines: ", &missing].concat(),
        }
    }
    Err(why)
}

fn named(host: &Host, call: &Call) -> Result<Line, Outcome> {
    let name = call.args.text("line").unwrap_or_default();
    let line = host.targets().gpio.iter().find(|line| line.name == name).cloned();
    line.ok_or_else(|| Outcome::soft("forbidden", "line: is not named in tools.device.gpio.lines"))
}

fn refused(why: &str) -> Outcome {
    Outcome::soft("error", &["line: ", why].concat())
}

/// `gpio_read`.
pub(super) fn read<'a>(host: &'a Host, call: &'a Call) -> Later<'a> {
    let line = match named(host, call) {
        Ok(line) => line,
        Err(outcome) => return aside::known(outcome),
    };
    let pins = Arc::clone(&host.pins);
    let work = move || match pins.read(&line) {
        Err(why) => refused(&why),
        Ok(value) => {
            let consumer = Some(CONSUMER).filter(|_| output(&line));
            Object::new().text("line", &line.name).number("value", value.into()).maybe("consumer", consumer).done()
        }
    };
    aside::later(&host.pins.aside, Box::new(work))
}

/// A value for a line, checked.
struct Order {
    line: Line,
    value: bool,
    pulse_ms: Option<i64>,
}

fn plan(host: &Host, call: &Call) -> Result<Order, Outcome> {
    let line = named(host, call)?;
    if !output(&line) {
        return Err(Outcome::soft("forbidden", "line: has not direction out in tools.device.gpio.lines"));
    }
    Ok(Order { line, value: call.args.integer("value") == Some(1), pulse_ms: call.args.integer("pulse_ms") })
}

impl Order {
    fn shown(&self) -> Object {
        let mut object = Object::new();
        object.text("line", &self.line.name).number("value", self.value.into());
        if let Some(pulse_ms) = self.pulse_ms {
            object.number("pulse_ms", pulse_ms);
        }
        object
    }
}

/// What `gpio_write` would do, as a JSON object.
///
/// # Errors
/// The refusal that the call would get.
pub(super) fn would(host: &Host, call: &Call) -> Result<String, Outcome> {
    Ok(plan(host, call)?.shown().end())
}

/// `gpio_write`.
pub(super) fn write<'a>(host: &'a Host, call: &'a Call) -> Later<'a> {
    let order = match plan(host, call) {
        Ok(order) => order,
        Err(outcome) => return aside::known(outcome),
    };
    let pins = Arc::clone(&host.pins);
    let mut pulse = None;
    if let Some(pulse_ms) = order.pulse_ms {
        // The end is in good hands before anything begins: the call may be dropped at any moment, and the thread that
        // sets the line may come late, so it is the thread that says when the pulse began.
        let number = pins.pulses.fetch_add(1, Ordering::Relaxed);
        let (begins, began) = bounded(1);
        let length = Duration::from_millis(pulse_ms.unsigned_abs());
        host.go_on(Box::pin(finish(Arc::clone(&pins), began, length, number)));
        pulse = Some((number, begins));
    }
    let work = move || match pins.write(&order.line, order.value, pulse.as_ref().map(|(number, _)| *number)) {
        Err(why) => refused(&why),
        Ok(()) => {
            if let Some((_, begins)) = pulse {
                // There is room for one, and one is sent.
                _ = begins.try_send(());
            }
            order.shown().done()
        }
    };
    aside::later(&host.pins.aside, Box::new(work))
}

/// Waits for a pulse to begin and ends it. A line that does not obey is told again for a while.
async fn finish(pins: Arc<Pins>, began: Receiver<()>, length: Duration, number: u32) {
    if began.recv().await.is_err() {
        return;
    }
    let mut wait = length;
    for _ in 0..GPIO_PULSE_TRIES {
        smol::Timer::after(wait).await;
        wait = GPIO_PULSE_REST;
        let same = Arc::clone(&pins);
        let work = move || same.rest(number).map_or_else(|error| refused(&why(error)), |()| Object::new().done());
        if aside::later(&pins.aside, Box::new(work)).await.good() {
            return;
        }
    }
    log::error!("gpio pulse={number} error=\"the line does not go to rest\"");
}

impl Host {
    /// Lets go of the lines that the targets do not name any more, after a reload. What was a pulse goes to rest.
    pub fn release_lines(&self) {
        // Nearly always, and at every start: no thread is worth it. One that is at work has them locked.
        if self.pins.kept.try_lock().is_ok_and(|kept| kept.is_empty()) {
            return;
        }
        let (pins, same_pins) = (Arc::clone(&self.pins), Arc::clone(&self.pins));
        let lines: Vec<Line> = self.targets().gpio.iter().filter(|line| output(line)).cloned().collect();
        let work = move || {
            pins.kept().retain(|it| lines.iter().any(|line| same(line, &it.line)));
            Object::new().done()
        };
        self.go_on(Box::pin(async move {
            aside::later(&same_pins.aside, Box::new(work)).await;
        }));
    }
}

#[cfg(test)]
#[path = "gpio_tests.rs"]
mod tests;
