//! The bare side of the cost of a declared command: `posix_spawn` of a program, its output read, its end waited for.
//!
//! `bare PROGRAM [ARGUMENT...]` reads one number a line, starts the program that many times, one after another, and
//! answers with a line of as many microseconds. So whoever measures can take turns with the gateway in one run.

use std::io::{self, BufRead, Read, Write};
use std::process::{Command, Stdio, exit};
use std::time::Instant;

fn main() -> io::Result<()> {
    let argv: Vec<String> = std::env::args().skip(1).collect();
    let Some((program, arguments)) = argv.split_first() else { exit(64) };
    for line in io::stdin().lock().lines() {
        let count: usize = line?.trim().parse().map_err(io::Error::other)?;
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            times.push(once(program, arguments)?.to_string());
        }
        writeln!(io::stdout(), "{}", times.join(" "))?;
    }
    Ok(())
}

/// Microseconds of one start, to its end. With an absolute path and nothing to do in the child, std uses posix_spawn.
fn once(program: &str, arguments: &[String]) -> io::Result<u128> {
    let begun = Instant::now();
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut printed = Vec::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_end(&mut printed)?;
    }
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_end(&mut printed)?;
    }
    child.wait()?;
    Ok(begun.elapsed().as_micros())
}
