//! The one question that only a raw system call answers: does somebody keep this clock in time?
//!
//! `unsafe` is argued here and nowhere else in this room. adjtimex(2) with `modes == 0` changes nothing and needs no
//! privilege; neither std nor rustix offers it. It reads and fills one `timex` that lives on this stack frame, that is
//! all zeros before (a valid value of this plain C struct of integers), and to which nothing else holds a reference.
//! The kernel writes at most `size_of::<timex>()` bytes, as its interface says.
#![allow(unsafe_code)]

/// Whether the kernel believes that the clock is kept in time; `None` when it will not say (a sandbox denies the call).
///
/// Source: adjtimex(2), `STA_UNSYNC`.
pub(super) fn synchronized() -> Option<bool> {
    // SAFETY: see the head of this file.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: see the head of this file.
    let state = unsafe { libc::adjtimex(&mut timex) };
    if state < 0 { None } else { Some(timex.status & libc::STA_UNSYNC == 0) }
}
