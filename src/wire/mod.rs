//! wire: bytes ⇄ messages of HTTP/1.1 and WebSocket. Pure: it knows RFCs, not policy, configuration or time.
//!
//! A connection feeds bytes to [`head::Scanner`] until it says where the head ends, has [`head::Head::parse`] read it,
//! asks [`body::resolve`] how the body is framed and lets a [`body::Decoder`] take the framing off. [`reply::Reply`]
//! goes the other way. Nothing here guesses: whatever two readers could read differently is a [`Fault`].
//!
//! A head for which [`upgrade::asked`] is true is no HTTP any more: [`upgrade::check`] refuses it or makes the 101. From
//! then on a [`message::Reader`] takes the framing off what comes and [`frame::push`] puts it on what goes; what a peer
//! may not send is a [`message::Violation`], which has the code to close with.
//!
//! Where the gateway itself is the client, [`ask::Ask`] makes the request and an [`answer::Reader`] takes the answer.

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

pub mod answer;
pub mod ask;
pub mod base64;
pub mod body;
pub mod frame;
pub mod head;
mod line;
pub mod message;
pub mod reply;
pub mod target;
pub mod upgrade;

/// What is wrong with a message. All of it is the peer's fault; after it the connection cannot be trusted and is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// More content than the limit allows.
    BodyTooLarge,
    /// A chunk's size line, its extensions or the line end after its data are malformed.
    ChunkInvalid,
    /// A transfer coding other than `chunked`.
    CodingUnknown,
    /// A field line is malformed, folded or holds a forbidden byte.
    FieldInvalid,
    /// Both a length and a transfer coding, or a coding where none can be.
    FramingConflict,
    /// The head is longer than the limit.
    HeadTooLarge,
    /// The host is missing, repeated or malformed.
    HostInvalid,
    /// The content length is malformed or repeated.
    LengthInvalid,
    /// The request line is malformed.
    LineInvalid,
    /// The method is not one that HTTP registers.
    MethodUnknown,
    /// The request target is malformed or not of the form its method takes.
    TargetInvalid,
    /// More field lines, or longer trailers, than the limit allows.
    TooManyFields,
    /// The peer ended the stream inside a message.
    Truncated,
    /// A major version other than 1.
    VersionUnknown,
}

impl Fault {
    /// The stable reason word for the log.
    pub fn word(self) -> &'static str {
        match self {
            Fault::BodyTooLarge => "body_too_large",
            Fault::ChunkInvalid => "chunk_invalid",
            Fault::CodingUnknown => "coding_unknown",
            Fault::FieldInvalid => "field_invalid",
            Fault::FramingConflict => "framing_conflict",
            Fault::HeadTooLarge => "head_too_large",
            Fault::HostInvalid => "host_invalid",
            Fault::LengthInvalid => "length_invalid",
            Fault::LineInvalid => "line_invalid",
            Fault::MethodUnknown => "method_unknown",
            Fault::TargetInvalid => "target_invalid",
            Fault::TooManyFields => "too_many_fields",
            Fault::Truncated => "truncated",
            Fault::VersionUnknown => "version_unknown",
        }
    }
}
