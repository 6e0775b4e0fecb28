//! `time_status`: the questions a device without a battery-backed clock raises, in one call.

use super::host::{Host, Now};
use super::{Call, Outcome, kernel};

/// `time_status`.
pub(super) fn status(host: &Host, call: &Call) -> Outcome {
    Outcome::Done { details: details(call.now, host.start, synchronized(host, call.now)), text: None }
}

/// Put together by hand: this is the call that callers make most, and the general way costs it a tenth of its time.
fn details(now: Now, start: Now, synchronized: Option<bool>) -> String {
    let step = match now.offset_ms().saturating_sub(start.offset_ms()) {
        // A millisecond of difference is rounding of the two clocks, not somebody setting one.
        -1..=1 => 0,
        step => step,
    };
    [
        "{\"now\":\"",
        &iso(now.wall_ms),
        "\",\"epoch_ms\":",
        &now.wall_ms.to_string(),
        ",\"boottime_s\":",
        &seconds(now.boot_ms),
        ",\"synchronized\":",
        synchronized.map_or("null", |synchronized| if synchronized { "true" } else { "false" }),
        ",\"step_since_start_s\":",
        &seconds(step),
        "}",
    ]
    .concat()
}

/// Whether the clock is kept in time; `None` when nobody says. Asked anew once a second.
pub fn synchronized(host: &Host, now: Now) -> Option<bool> {
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

/// Milliseconds as seconds: at least one digit after the point, and no zero at the end that is not needed.
fn seconds(ms: i64) -> String {
    let (whole, mut rest) = (ms.unsigned_abs() / 1_000, ms.unsigned_abs() % 1_000);
    let mut digits = *b".000";
    for (digit, place) in digits.iter_mut().skip(1).zip([100, 10, 1]) {
        *digit = b'0' + u8::try_from(rest / place).unwrap_or_default();
        rest %= place;
    }
    let digits = match digits.as_slice() {
        [digits @ .., b'0', b'0'] | [digits @ .., b'0'] => digits,
        digits => digits,
    };
    let sign = if ms < 0 { "-" } else { "" };
    [sign, &whole.to_string(), std::str::from_utf8(digits).unwrap_or_default()].concat()
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
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let clock = [(13, ms / 3_600_000), (16, ms / 60_000 % 60), (19, ms / 1_000 % 60), (23, ms % 1_000)];
    for (end, number) in [(4, year), (7, month), (10, day)].into_iter().chain(clock) {
        write_digits(text.get_mut(..end).unwrap_or_default(), number);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Writes `number` over the zeros before the end. The formatting machinery would take most of the time this tool takes.
fn write_digits(text: &mut [u8], mut number: i64) {
    for place in text.iter_mut().rev() {
        if number == 0 {
            return;
        }
        *place = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
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
        assert_eq!(details(now, start, Some(false)), expected);
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
                "{{\"now\":\"9999-12-31T23:59:59.999Z\",\"epoch_ms\":9223372036854775807,\"boottime_s\":-9223372036854775.808,{tail}9223372036854775.807}}"
            ),
        );
    }

    #[test]
    fn seconds_have_as_many_digits_as_they_need() {
        let rows = [(0, "0.0"), (1, "0.001"), (-500, "-0.5"), (1_230, "1.23"), (60_000, "60.0"), (10_010, "10.01")];
        for (ms, expected) in rows {
            assert_eq!(seconds(ms), expected);
        }
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
