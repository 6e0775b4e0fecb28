//! Placeholder.
use super::host::Host;
use super::root::Root;
use std::time::Duration;
/// Plan.
pub(super) struct Plan {
    pub argv: Vec<String>,
    pub env: Vec<(String, String)>,
    pub cwd: String,
    pub stdin: Vec<u8>,
    pub user: Option<Identity>,
    pub rlimits: Rlimits,
    pub output_bytes: usize,
    pub timeout: Duration,
}
pub(super) struct Identity;
/// Limits.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Rlimits {
    pub cpu_s: Option<u64>,
    pub address_bytes: Option<u64>,
    pub file_bytes: Option<u64>,
    pub processes: Option<u64>,
    pub open_files: Option<u64>,
}
pub(super) enum End {
    Code(i32),
    Signal(i32),
}
pub(super) struct Kept {
    pub bytes: Vec<u8>,
    pub total: u64,
    pub dropped: u64,
}
pub(super) struct Report {
    pub end: End,
    pub stdout: Kept,
    pub stderr: Kept,
    pub timed_out: bool,
    pub duration_ms: u64,
}
#[derive(Clone, Copy)]
pub(super) enum Stream {
    Out,
    Err,
}
impl Stream {
    pub fn word(self) -> &'static str {
        match self {
            Stream::Out => "stdout",
            Stream::Err => "stderr",
        }
    }
}
pub(super) fn identity(_: &Root, _: &str) -> Result<Identity, String> {
    Ok(Identity)
}
pub(super) async fn run(_: &Host, plan: Plan, _: Option<&dyn Fn(Stream, &[u8])>) -> Result<Report, String> {
    let _ = (
        plan.cwd,
        plan.env,
        plan.stdin,
        plan.user,
        plan.rlimits,
        plan.output_bytes,
        plan.timeout,
        Stream::Out,
        Stream::Err,
        End::Code(0),
        End::Signal(0),
    );
    Err(plan.argv.join(" "))
}
