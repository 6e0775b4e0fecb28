//! `time_status`: the questions a device without a battery-backed clock raises, in one call.

use serde::Serialize;

use super::host::{Host, Now};
use super::{Call, Outcome, kernel};

#[derive(Serialize)]
struct Details {
    now: String,
    epoch_ms: i64,
    boottime_s: f64,
    synchronized: Option<bool>,
    step_since_start_s: f64,
}

/// `time_status`.
pub(super) fn status(host: &Host, call: &Call) -> Outcome {
    Outcome::done(&details(call.now, host.start, synchronized(host, call.now)))
}

fn details(now: Now, start: Now, synchronized: Option<bool>) -> Details {
    Details {
        now: iso(now.wall_ms),
        epoch_ms: now.wall_ms,
        boottime_s: seconds(now.boot_ms),
        synchronized,
        // A millisecond of difference is rounding of the two clocks, not somebody setting one.
        step_since_start_s: match now.offset_ms().saturating_sub(start.offset_ms()) {
            -1..=1 => 0.0,
            step => seconds(step),
        },
    }
}

/// Whether the clock is kept in time; `None` when nobody says. Asked anew once a second.
fn synchronized(host: &Host, now: Now) -> Option<bool> {
    let second = now.boot_ms.div_euclid(1_000);
    if let Some((asked, said)) = host.synchronized.get()
        && asked == second
    {
        return said;
    }
    let said = ask_synchronized(host);
    host.synchronized.set(Some((second, said)));
    said
}

fn ask_synchronized(host: &Host) -> Option<bool> {
    if let Some(said) = host.root.live().then(kernel::synchronized).flatten() {
        return Some(said);
    }
    // systemd-timesyncd makes the directory when it starts and the file when it has heard a server.
    if host.root.has("/run/systemd/timesync/synchronized") {
        Some(true)
    } else if host.root.has("/run/systemd/timesync") {
        Some(false)
    } else {
        None
    }
}

/// Milliseconds as seconds. Exact up to 285 000 years.
#[allow(clippy::cast_precision_loss, reason = "argued above")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}

/// ISO 8601 in UTC with milliseconds, as JavaScript's `toISOString` within the years 0000 to 9999.
///
/// Source: the days-to-date arithmetic is that of Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
pub fn iso(wall_ms: i64) -> String {
    // 0000-01-01 and 9999-12-31T23:59:59.999: a kernel clock cannot leave these, and the arithmetic below stays small.
    let ms = wall_ms.clamp(-62_167_219_200_000, 253_402_300_799_999);
    let (days, ms) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let mut text = String::with_capacity(24);
    let time = [(year, 4, '-'), (month, 2, '-'), (day, 2, 'T'), (ms / 3_600_000, 2, ':'), (ms / 60_000 % 60, 2, ':')];
    for (number, width, after) in time.into_iter().chain([(ms / 1_000 % 60, 2, '.'), (ms % 1_000, 3, 'Z')]) {
        push_digits(&mut text, number, width);
        text.push(after);
    }
    text
}

/// `number` in exactly `width` digits. The formatting machinery would take most of the time this tool takes.
fn push_digits(text: &mut String, number: i64, width: u32) {
    for place in (0..width).rev() {
        let digit = number / 10_i64.pow(place) % 10;
        text.push(char::from(b'0' + u8::try_from(digit).unwrap_or_default()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::fixture::{Scratch, bare, call};

    #[test]
    fn dates() {
        let rows = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_767_225_600_001, "2026-01-01T00:00:00.001Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (i64::MAX, "9999-12-31T23:59:59.999Z"),
            (i64::MIN, "0000-01-01T00:00:00.000Z"),
        ];
        for (ms, expected) in rows {
            assert_eq!(iso(ms), expected);
        }
    }

    /// Clocks now and at start, and the answer.
    fn check(now: (i64, i64), start: (i64, i64), expected: &str) {
        let [now, start] = [now, start].map(|(wall_ms, boot_ms)| Now { wall_ms, boot_ms });
        assert_eq!(serde_json::to_string(&details(now, start, Some(false))).unwrap(), expected);
    }

    #[test]
    fn a_clock_that_is_set_shows_as_a_step() {
        let tail = "\"synchronized\":false,\"step_since_start_s\":";
        check(
            (1_767_225_601_500, 62_500),
            (1_767_225_600_000, 61_001),
            &format!(
                "{{\"now\":\"2026-01-01T00:00:01.500Z\",\"epoch_ms\":1767225601500,\"boottime_s\":62.5,{tail}0.0}}"
            ),
        );
        check(
            (1_767_225_600_000, 20_000),
            (10_000, 10_000),
            &format!(
                "{{\"now\":\"2026-01-01T00:00:00.000Z\",\"epoch_ms\":1767225600000,\"boottime_s\":20.0,{tail}1767225580.0}}"
            ),
        );
        check(
            (i64::MAX, i64::MIN),
            (i64::MIN, i64::MAX),
            &format!(
                "{{\"now\":\"9999-12-31T23:59:59.999Z\",\"epoch_ms\":9223372036854775807,\"boottime_s\":-9223372036854776.0,{tail}9223372036854776.0}}"
            ),
        );
    }

    #[test]
    fn without_a_kernel_to_ask_timesyncd_tells() {
        let tmp = Scratch::new("clock");
        assert_eq!(ask_synchronized(&tmp.host()), None);
        tmp.write("run/systemd/timesync/other", b"");
        assert_eq!(ask_synchronized(&tmp.host()), Some(false));
        tmp.write("run/systemd/timesync/synchronized", b"");
        assert_eq!(ask_synchronized(&tmp.host()), Some(true));
    }

    #[test]
    fn it_refuses_arguments() {
        let answer = call(&bare(&[]), "time_status", "{\"zone\":1}");
        let Outcome::Input(message) = answer else { panic!("{answer:?}") };
        assert_eq!(message, "zone: unknown argument (this tool takes none)");
    }
}
