//! A declared command + checked arguments → an argument list, and what its program said.
//!
//! No shell, ever: the operator fixes the program and the shape of each argument, a value becomes a part of one argument
//! or is refused. Source: contract cli.md `tools.commands`, field.md §3.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::child::{self, End, Plan, Report, Rlimits, Stream};
use super::fields::{self, Field};
use super::object::{Object, quoted};
use super::schema::Args;
use super::telling::{self, Keys, Output};
use super::template::{Template, Unfilled};
use super::{Call, Declared, Host, Outcome};
use crate::limits::RESULT_FRAME_BYTES;

/// What a program gets on its standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdin {
    /// The checked arguments as one JSON object.
    Args,
    /// Nothing.
    None,
}

/// A declared command.
#[derive(Debug)]
pub struct Command {
    /// The program's absolute path, then its arguments.
    pub argv: Vec<Word>,
    /// Its environment, whole, besides PATH.
    pub env: Vec<(String, Value)>,
    /// Where it runs.
    pub cwd: String,
    /// What it reads.
    pub stdin: Stdin,
    /// How its output is told.
    pub output: Output,
    /// Whether output that is no UTF-8 is told as base64; else it is a failure.
    pub binary: bool,
    /// Bytes kept of each stream.
    pub output_bytes: usize,
    /// Whether its output is told to the caller's socket as it comes.
    pub progress: bool,
    /// What the kernel lets it use.
    pub rlimits: Rlimits,
    /// Who it runs as; the gateway's own user when absent.
    pub user: Option<String>,
}

/// One argument.
#[derive(Debug)]
pub struct Word {
    /// What it is.
    pub text: Template,
    /// The number of the list it stands in, whose words go together: when a value of one is absent, all are left out. 0 =
    /// it stands alone.
    pub list: usize,
}

/// The value of a variable.
#[derive(Debug, Clone)]
pub enum Value {
    /// From a file or a variable of the gateway; never shown.
    Hidden(super::targets::Hidden),
    /// As configured.
    Plain(String),
}

impl Command {
    /// Whether the program is there.
    ///
    /// # Errors
    /// Why it cannot be run.
    pub(super) fn present(&self) -> Result<(), String> {
        let program = self.argv.first().and_then(|word| word.text.literal()).unwrap_or_default();
        match std::fs::metadata(program) {
            Ok(file) if !file.is_file() => Err([program, " is no file"].concat()),
            Ok(file) if file.permissions().mode() & 0o111 == 0 => Err([program, " is not executable"].concat()),
            Ok(_) => Ok(()),
            Err(_) => Err([program, " is not there"].concat()),
        }
    }

    /// Whether it can work: the program is there, and its working directory.
    ///
    /// # Errors
    /// What is missing.
    pub(super) fn lack(&self) -> Result<(), String> {
        self.present()?;
        if !std::fs::metadata(&self.cwd).is_ok_and(|file| file.is_dir()) {
            return Err(["its working directory ", &self.cwd, " is not there"].concat());
        }
        Ok(())
    }

    /// The argument list with the values in their places.
    ///
    /// # Errors
    /// The text for the caller: it names the argument.
    pub(super) fn arguments(&self, fields: &[Field], args: &Args) -> Result<Vec<String>, String> {
        let mut argv: Vec<String> = Vec::with_capacity(self.argv.len());
        let mut option_before = false;
        let mut ended = false;
        for words in self.argv.chunk_by(|one, next| one.list != 0 && one.list == next.list) {
            let (start, ended_before) = (argv.len(), ended);
            for Word { text, list } in words {
                match self::text(text, fields, args, ended)? {
                    Some(filled) => {
                        let literal = text.literal().is_some();
                        ended = ended || (literal && filled == "--");
                        option_before = literal && !ended && *list == 0 && filled.starts_with('-');
                        argv.push(filled);
                    }
                    // An option without its value would take the next argument for it.
                    None if option_before && *list == 0 => {
                        argv.pop();
                        option_before = false;
                    }
                    None => {
                        argv.truncate(start);
                        ended = ended_before;
                        option_before = false;
                        break;
                    }
                }
            }
        }
        Ok(argv)
    }
}

/// One argument with its values in their places; `None` when a value is absent. `ended`: an argument before it was `--`.
///
/// # Errors
/// The text for the caller: it names the argument.
fn text(template: &Template, fields: &[Field], args: &Args, ended: bool) -> Result<Option<String>, String> {
    let mut text = String::new();
    let filled = template.fill(fields, args, &mut text, &|field, value, out| {
        if value.contains('\0') {
            return Err("must not hold a NUL byte".into());
        }
        if value.starts_with('-') && !ended && !field.allow_dash {
            return Err("must not begin with -".into());
        }
        out.push_str(value);
        Ok(())
    });
    match filled {
        Ok(()) => {}
        Err(Unfilled::Absent) => return Ok(None),
        Err(Unfilled::Refused(text)) => return Err(text),
    }
    // A blank value in front of a literal `-` would make an option of what was none.
    if !ended && text.starts_with('-') && !template.begins_literally() {
        let field = template.values().next().and_then(|at| fields.get(at));
        if let Some(field) = field.filter(|field| !field.allow_dash) {
            return Err([&field.name, ": must not be empty here"].concat());
        }
    }
    Ok(Some(text))
}

/// What a call would run, as JSON.
///
/// # Errors
/// As [`Command::arguments`].
pub(super) fn would(command: &Command, fields: &[Field], args: &Args) -> Result<String, String> {
    let argv = command.arguments(fields, args)?;
    let mut json = Object::new();
    json.raw("argv", &serde_json::to_string(&argv).unwrap_or_default());
    json.text("cwd", &command.cwd);
    let names: Vec<String> = command.env.iter().map(|(name, _)| quoted(name)).collect();
    json.list("env", &names);
    if let Some(user) = &command.user {
        json.text("user", user);
    }
    if command.stdin == Stdin::Args {
        json.raw("stdin", &fields::object(args));
    }
    Ok(json.end())
}

/// Runs the program.
pub(super) async fn run(declared: &Declared, command: &Command, host: &Host, call: &Call) -> Outcome {
    let argv = match command.arguments(&declared.fields, &call.args) {
        Ok(argv) => argv,
        Err(text) => return Outcome::Input(text),
    };
    let user = match command.user.as_deref().map(|name| child::identity(&host.root, name)).transpose() {
        Ok(user) => user,
        Err(why) => return Outcome::soft("error", &why),
    };
    let env = command.env.iter().filter_map(|(name, value)| Some((name.clone(), value.reveal()?))).collect();
    let stdin = if command.stdin == Stdin::Args { fields::object(&call.args).into_bytes() } else { Vec::new() };
    let plan = Plan {
        argv,
        env,
        cwd: command.cwd.clone(),
        stdin,
        user,
        rlimits: command.rlimits,
        output_bytes: command.output_bytes,
        timeout: Duration::from_millis(declared.timeout_ms.into()),
        turns: call.turns.clone(),
    };
    let tell = |stream: Stream, bytes: &[u8]| call.tell(stream.word(), bytes);
    let progress = (command.progress && call.progress.is_some()).then_some(&tell as &dyn Fn(Stream, &[u8]));
    match child::run(host, plan, progress).await {
        Ok(report) => told(command, &report, host.result_bytes.get()),
        Err(why) => Outcome::soft("error", &why),
    }
}

impl Value {
    fn reveal(&self) -> Option<String> {
        match self {
            Value::Hidden(hidden) => hidden.reveal().map(|bytes| String::from_utf8_lossy(bytes).into_owned()),
            Value::Plain(text) => Some(text.clone()),
        }
    }
}

/// What is said of a program that has ended; `room` is what the result may take, in bytes of JSON.
///
/// Source: contract cli.md: `details {exitCode, stdout, stderr, truncated, timedOut, durationMs}`.
fn told(command: &Command, report: &Report, room: usize) -> Outcome {
    let room = room.saturating_sub(RESULT_FRAME_BYTES);
    let mut failure = match report.end {
        _ if report.timed_out => Some("the program ran out of time and was ended".to_owned()),
        End::Code(0) => None,
        End::Code(code) => Some(["the program ended with exit code ", &code.to_string()].concat()),
        End::Signal(signal) => Some(["the program was ended by signal ", &signal.to_string()].concat()),
    };
    // What it complained of matters more than what it printed, but there is less of it.
    let (errors, errors_cut) = telling::text(&report.stderr, room / 4);
    let keys = Keys { text: "stdout", base64: "stdoutBase64" };
    let told = telling::tell(&report.stdout, command.output, command.binary, keys, room.saturating_sub(errors.len()));
    if let Some(wrong) = told.wrong {
        failure = failure.or(Some(["the program printed ", wrong].concat()));
    }
    let mut json = Object::new();
    if let Some(failure) = &failure {
        json.text("status", "error");
        json.text("error", failure);
    }
    match report.end {
        End::Code(code) => json.raw("exitCode", &code.to_string()),
        End::Signal(signal) => json.raw("exitCode", "null").raw("signal", &signal.to_string()),
    };
    json.raw(told.key, &told.json);
    json.raw("stderr", &errors);
    json.flag("truncated", told.cut || errors_cut);
    json.flag("timedOut", report.timed_out);
    for (key, figure) in [
        ("durationMs", report.duration_ms),
        ("stdoutBytes", report.stdout.total),
        ("stderrBytes", report.stderr.total),
        ("droppedBytes", report.stdout.dropped.saturating_add(report.stderr.dropped)),
    ] {
        json.raw(key, &figure.to_string());
    }
    json.done()
}
