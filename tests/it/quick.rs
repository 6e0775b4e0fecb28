//! What must be quick, on machines that are not. The program's own tests include this file too.

use std::time::{Duration, Instant};

/// Checks that `trial` is over within `most` at least once in five times: time alone decides nothing on a busy machine.
#[track_caller]
pub fn quick(most: Duration, mut trial: impl FnMut()) {
    let times = std::iter::repeat_with(|| {
        let start = Instant::now();
        trial();
        start.elapsed()
    });
    let slow: Vec<Duration> = times.take(5).take_while(|took| *took >= most).collect();
    assert!(slow.len() < 5, "it took {slow:?}, and never less than {most:?}");
}
