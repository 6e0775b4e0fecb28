//! GPIO chips as the tools see them: the kernel's, or a test's. A chip is found by its label, because its number changes
//! between kernels and boards (the Raspberry Pi 5's fifth chip became its first).

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

use super::ioctl;
use super::root::Root;

/// Where chips are.
pub(super) trait Chips: Send + Sync {
    /// Opens the chip of that number.
    ///
    /// # Errors
    /// ENOENT when there is none, EACCES when it may not be opened.
    fn open(&self, number: usize) -> Result<Box<dyn Chip>, Errno>;
}

/// An open chip.
pub(super) trait Chip {
    /// What its driver calls it.
    fn label(&self) -> &str;
    /// How many lines it has.
    fn lines(&self) -> u32;
    /// The name of a line, and who holds it.
    ///
    /// # Errors
    /// What the kernel says.
    fn line(&self, offset: u32) -> Result<(String, String), Errno>;
    /// Takes a line into possession, with the flags of [`ioctl`]; `value` counts for an output.
    ///
    /// # Errors
    /// EBUSY when somebody else holds it.
    fn take(&self, offset: u32, flags: u64, value: bool) -> Result<Box<dyn Held>, Errno>;
}

/// A line in our possession, until this is dropped.
pub(super) trait Held: Send {
    /// Its value.
    ///
    /// # Errors
    /// What the kernel says.
    fn value(&self) -> Result<bool, Errno>;
    /// Drives it, if it is an output.
    ///
    /// # Errors
    /// What the kernel says.
    fn drive(&self, value: bool) -> Result<(), Errno>;
    /// Makes it an output with this value, or whatever else `flags` say.
    ///
    /// # Errors
    /// What the kernel says.
    fn configure(&self, flags: u64, value: bool) -> Result<(), Errno>;
}

/// How the kernel shows our possession of a line to others.
pub(super) const CONSUMER: &str = "toolgate";

/// The character devices below a system root.
pub(super) struct Devices(pub Root);

impl Chips for Devices {
    fn open(&self, number: usize) -> Result<Box<dyn Chip>, Errno> {
        let path = ["/dev/gpiochip", &number.to_string()].concat();
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = open(self.0.place(Path::new(&path)), flags, Mode::empty())?;
        let (label, lines) = ioctl::chip(&fd)?;
        Ok(Box::new(Device { fd, label, lines }))
    }
}

struct Device {
    fd: OwnedFd,
    label: String,
    lines: u32,
}

impl Chip for Device {
    fn label(&self) -> &str {
        &self.label
    }
    fn lines(&self) -> u32 {
        self.lines
    }
    fn line(&self, offset: u32) -> Result<(String, String), Errno> {
        ioctl::line(&self.fd, offset)
    }
    fn take(&self, offset: u32, flags: u64, value: bool) -> Result<Box<dyn Held>, Errno> {
        Ok(Box::new(ioctl::take(&self.fd, offset, CONSUMER, flags, value)?))
    }
}

impl Held for OwnedFd {
    fn value(&self) -> Result<bool, Errno> {
        ioctl::value(self)
    }
    fn drive(&self, value: bool) -> Result<(), Errno> {
        ioctl::drive(self, value)
    }
    fn configure(&self, flags: u64, value: bool) -> Result<(), Errno> {
        ioctl::configure(self, flags, value)
    }
}
