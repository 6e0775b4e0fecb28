//! api: one message → one step. Pure. The only room that knows both the protocols and the gate.
//!
//! [`opening`] looks at a head and either answers or lets the body in; [`request`] looks at the body and either
//! answers or orders a call; [`outcome`] turns what a tool said into the answer. Every error becomes status and text in
//! [`faults`], nowhere else.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

pub mod envelope;
pub mod faults;
mod invoke;
mod open;
pub mod pretty;
pub mod replay;
mod served;
pub mod socket;

use std::rc::Rc;
use std::time::Duration;

use crate::gate::{Permit, Principal};
use crate::tool::Checked;
use crate::wire::reply::Reply;

pub use faults::Fault;
pub use invoke::{Find, outcome, request, steps_json, verdict};
pub use open::{Claims, Scene, expects_continue, is_upgrade, opening, upgrade};
pub use served::{served_as, served_for};

/// What the rooms to the right decided about this gateway and `api` needs to read a message.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The field in which a trusted proxy names the user.
    pub user_field: Option<String>,
    /// Fields a trusted proxy must send, not blank.
    pub required_fields: Vec<String>,
    /// The `Strict-Transport-Security` value to send.
    pub transport_security: Option<Rc<str>>,
}

/// The process as far as probes may see it.
#[derive(Debug, Clone, Default)]
pub struct Vitals {
    /// Milliseconds since start.
    pub uptime_ms: u64,
    /// What keeps the gateway from being ready; empty = ready.
    pub failing: Vec<&'static str>,
    /// How well the loop keeps up.
    pub pulse: Pulse,
}

/// How well the loop kept up since somebody last asked.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pulse {
    /// Whether it falls behind.
    pub degraded: bool,
    /// Milliseconds since somebody last asked.
    pub interval_ms: u64,
    /// How late 99 of 100 deadlines were noticed at most.
    pub delay_p99: Duration,
    /// How late one was noticed at most.
    pub delay_max: Duration,
    /// The share of one processor that was used, 0 to 1000.
    pub utilization_permille: u32,
    /// The share of all processors that was used, 0 to 1000.
    pub cores_permille: u32,
}

/// What one log line says about an exchange.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Note {
    /// The stable reason word of a refusal or failure; `None` when all went well.
    pub reason: Option<&'static str>,
    /// The tool that was asked for, as sent.
    pub tool: Option<Box<str>>,
}

/// An answer and what the log says about it.
#[derive(Debug)]
pub struct Answer {
    /// The answer.
    pub reply: Reply,
    /// For the log.
    pub note: Note,
}

/// A caller whose body may be read.
#[derive(Debug)]
pub struct Admitted {
    /// The proof of admission.
    pub principal: Principal,
    /// Whether the caller waits for `100 Continue`.
    pub expects: bool,
    /// The page of another origin that may read the answer, for [`Reply::page`].
    pub page: Option<Box<str>>,
    channel: Option<Box<str>>,
    account: Option<Box<str>>,
}

/// What to do after a head.
#[derive(Debug)]
pub enum Opening {
    /// Answer now; the body, if any, is nobody's.
    Answer(Answer),
    /// Read the body, then ask [`request`].
    Body(Admitted),
}

/// What to do after a body.
#[derive(Debug)]
pub enum Step {
    /// Answer now.
    Answer(Answer),
    /// Run the tool, then ask [`outcome`].
    Call {
        /// The proof that it may run.
        permit: Permit,
        /// The tool and its checked arguments.
        checked: Checked,
        /// What the call is remembered by, when its caller gave it a key.
        name: Option<replay::Name>,
    },
}
