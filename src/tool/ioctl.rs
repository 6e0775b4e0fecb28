//! GPIO lines by the character device's interface of version 2, and the one socket option that neither std nor rustix has.
//!
//! `unsafe` is argued here. Each GPIO question is an ioctl(2) that reads and fills one structure. The structures below
//! are those of linux/gpio.h, field by field, `repr(C)`, made of integers only, so that every pattern of bits is a value
//! of theirs; they have no padding of their own, and their sizes are asserted. The number of each question is computed
//! from the same type that is handed over, so the kernel, which takes the size out of the number, can neither read nor
//! write beyond it. The structure lives on the caller's stack and nobody else holds a reference to it. Asked of a
//! descriptor that is no GPIO chip, the kernel answers ENOTTY; another driver's questions do not have these numbers
//! (0xB4 is given to GPIO in ioctl-number.rst). The only descriptor that is made out of a number is the one that
//! GPIO_V2_GET_LINE has just filled in, and it is taken into possession once.
//! setsockopt(2) with SO_BINDTODEVICE reads as many bytes as it is told the name has, and keeps none of them.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};

/// A name with a NUL at its end, if there is room.
type Name = [u8; 32];

/// `struct gpiochip_info`.
#[repr(C)]
#[derive(Default)]
struct ChipInfo {
    name: Name,
    label: Name,
    lines: u32,
}

/// `struct gpio_v2_line_attribute`.
#[repr(C)]
#[derive(Default)]
struct Attribute {
    id: u32,
    padding: u32,
    value: u64,
}

/// `struct gpio_v2_line_config_attribute`.
#[repr(C)]
#[derive(Default)]
struct ConfigAttribute {
    attribute: Attribute,
    mask: u64,
}

/// `struct gpio_v2_line_config`.
#[repr(C)]
#[derive(Default)]
struct Config {
    flags: u64,
    count: u32,
    padding: [u32; 5],
    attributes: [ConfigAttribute; 10],
}

/// `struct gpio_v2_line_request`.
#[repr(C)]
struct Request {
    offsets: [u32; 64],
    consumer: Name,
    config: Config,
    lines: u32,
    event_buffer: u32,
    padding: [u32; 5],
    fd: i32,
}

/// `struct gpio_v2_line_info`.
#[repr(C)]
#[derive(Default)]
struct LineInfo {
    name: Name,
    consumer: Name,
    offset: u32,
    count: u32,
    flags: u64,
    attributes: [Attribute; 10],
    padding: [u32; 4],
}

/// `struct gpio_v2_line_values`.
#[repr(C)]
struct Values {
    bits: u64,
    mask: u64,
}

const _: () = assert!(
    size_of::<ChipInfo>() == 68
        && size_of::<Config>() == 272
        && size_of::<Request>() == 592
        && size_of::<LineInfo>() == 256
        && size_of::<Values>() == 16
);

const GET_CHIP: Opcode = opcode::read::<ChipInfo>(0xB4, 0x01);
const GET_LINE_INFO: Opcode = opcode::read_write::<LineInfo>(0xB4, 0x05);
const GET_LINE: Opcode = opcode::read_write::<Request>(0xB4, 0x07);
const SET_CONFIG: Opcode = opcode::read_write::<Config>(0xB4, 0x0D);
const GET_VALUES: Opcode = opcode::read_write::<Values>(0xB4, 0x0E);
const SET_VALUES: Opcode = opcode::read_write::<Values>(0xB4, 0x0F);

/// 1 means low (GPIO_V2_LINE_FLAG_ACTIVE_LOW).
pub(super) const ACTIVE_LOW: u64 = 1 << 1;
/// The line is read. Without this and [`OUTPUT`] its direction stays as it is.
pub(super) const INPUT: u64 = 1 << 2;
/// The line is driven.
pub(super) const OUTPUT: u64 = 1 << 3;

/// The label of the chip `fd` and how many lines it has.
///
/// # Errors
/// ENOTTY when it is no chip.
pub(super) fn chip(fd: &OwnedFd) -> Result<(String, u32), Errno> {
    let mut info = ChipInfo::default();
    // SAFETY: see the head of this file.
    unsafe { ioctl(fd, Updater::<GET_CHIP, ChipInfo>::new(&mut info)) }?;
    Ok((text(&info.label), info.lines))
}

/// The name of the line `offset` of the chip `fd`, and who holds it.
///
/// # Errors
/// EINVAL when there is no such line, or the kernel does not know version 2.
pub(super) fn line(fd: &OwnedFd, offset: u32) -> Result<(String, String), Errno> {
    let mut info = LineInfo { offset, ..LineInfo::default() };
    // SAFETY: see the head of this file.
    unsafe { ioctl(fd, Updater::<GET_LINE_INFO, LineInfo>::new(&mut info)) }?;
    Ok((text(&info.name), text(&info.consumer)))
}

/// Takes the line `offset` of the chip `fd` into possession; `value` is what it is driven to with [`OUTPUT`].
///
/// # Errors
/// EBUSY when somebody else holds it.
pub(super) fn take(fd: &OwnedFd, offset: u32, consumer: &str, flags: u64, value: bool) -> Result<OwnedFd, Errno> {
    let mut request = Request {
        offsets: [0; 64],
        consumer: Name::default(),
        config: config(flags, value),
        lines: 1,
        event_buffer: 0,
        padding: [0; 5],
        fd: -1,
    };
    let [first, ..] = &mut request.offsets;
    *first = offset;
    // The last byte stays NUL.
    for (to, from) in request.consumer.iter_mut().take(31).zip(consumer.bytes()) {
        *to = from;
    }
    // SAFETY: see the head of this file.
    unsafe { ioctl(fd, Updater::<GET_LINE, Request>::new(&mut request)) }?;
    if request.fd < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: see the head of this file.
    Ok(unsafe { OwnedFd::from_raw_fd(request.fd) })
}

/// Changes direction and value of the line that `fd` holds.
///
/// # Errors
/// What the kernel says.
pub(super) fn configure(fd: &OwnedFd, flags: u64, value: bool) -> Result<(), Errno> {
    let mut config = config(flags, value);
    // SAFETY: see the head of this file.
    unsafe { ioctl(fd, Updater::<SET_CONFIG, Config>::new(&mut config)) }
}

fn config(flags: u64, value: bool) -> Config {
    let mut config = Config { flags, ..Config::default() };
    if let (true, [first, ..]) = (flags & OUTPUT != 0, &mut config.attributes) {
        // GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES, of the one line that is asked for.
        first.attribute = Attribute { id: 2, padding: 0, value: u64::from(value) };
        first.mask = 1;
        config.count = 1;
    }
    config
}

/// The value of the line that `fd` holds.
///
/// # Errors
/// What the kernel says.
pub(super) fn value(fd: &OwnedFd) -> Result<bool, Errno> {
    let mut values = Values { bits: 0, mask: 1 };
    // SAFETY: see the head of this file.
    unsafe { ioctl(fd, Updater::<GET_VALUES, Values>::new(&mut values)) }?;
    Ok(values.bits & 1 == 1)
}

/// Drives the line that `fd` holds.
///
/// # Errors
/// EPERM when the line is no output.
pub(super) fn drive(fd: &OwnedFd, value: bool) -> Result<(), Errno> {
    let mut values = Values { bits: u64::from(value), mask: 1 };
    // SAFETY: see the head of this file.
    unsafe { ioctl(fd, Updater::<SET_VALUES, Values>::new(&mut values)) }
}

fn text(name: &Name) -> String {
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    String::from_utf8_lossy(name.get(..end).unwrap_or_default()).into_owned()
}

/// Makes `socket` send by the interface `name` only; whether the kernel agrees. Source: socket(7), `SO_BINDTODEVICE`.
pub(super) fn bind_to_interface(socket: BorrowedFd, name: &str) -> bool {
    let length = libc::socklen_t::try_from(name.len()).unwrap_or(0);
    let (fd, name) = (socket.as_raw_fd(), name.as_ptr().cast());
    // SAFETY: see the head of this file.
    unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, name, length) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, OFlags, open};

    /// The numbers as linux/gpio.h has them where a number has two bits of direction. Source: kernel 6.1, on x86 and ARM.
    #[test]
    #[cfg(not(target_arch = "mips"))]
    fn numbers() {
        let numbers = [GET_CHIP, GET_LINE_INFO, GET_LINE, SET_CONFIG, GET_VALUES, SET_VALUES];
        assert_eq!(numbers, [0x8044_b401, 0xc100_b405, 0xc250_b407, 0xc110_b40d, 0xc010_b40e, 0xc010_b40f]);
    }

    #[test]
    fn what_is_no_chip_says_so() {
        let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).expect("/dev/null");
        assert_eq!(chip(&null).unwrap_err(), Errno::NOTTY);
        assert_eq!(line(&null, 0).unwrap_err(), Errno::NOTTY);
        assert_eq!(
            take(&null, 0, "a name longer than thirty-two bytes in all", OUTPUT, true).unwrap_err(),
            Errno::NOTTY
        );
        assert_eq!(configure(&null, INPUT, false).unwrap_err(), Errno::NOTTY);
        assert_eq!(value(&null).unwrap_err(), Errno::NOTTY);
        assert_eq!(drive(&null, true).unwrap_err(), Errno::NOTTY);
    }

    #[test]
    fn only_an_output_has_a_value() {
        let (input, output) = (config(INPUT | ACTIVE_LOW, true), config(OUTPUT, true));
        assert_eq!((input.flags, input.count), (INPUT | ACTIVE_LOW, 0));
        let [first, ..] = output.attributes;
        assert_eq!((output.count, first.attribute.id, first.attribute.value, first.mask), (1, 2, 1, 1));
    }

    #[test]
    fn names_end_at_their_nul_or_where_there_is_none() {
        let mut name = [b'x'; 32];
        assert_eq!(text(&name).len(), 32);
        name[3] = 0;
        assert_eq!(text(&name), "xxx");
    }

    #[test]
    fn a_socket_is_bound_to_an_interface_that_exists() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let bound = |name: &str| bind_to_interface(std::os::fd::AsFd::as_fd(&socket), name);
        assert!(!bound("absent0") && !bound(&"x".repeat(99)));
    }
}
