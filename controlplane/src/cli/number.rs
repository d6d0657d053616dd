//! Numbers and times for people.

use prost_types::Timestamp;
use std::time::Duration;

/// A count with thousands separators: 1,234,567.
pub(super) fn count(n: u64) -> String {
    crate::count::grouped(n)
}

/// A number with an SI prefix and three significant digits: 12.3 M.
pub(super) fn si(value: f64) -> String {
    const PREFIXES: [&str; 6] = ["", " k", " M", " G", " T", " P"];
    let mut scaled = value;
    let mut prefix = PREFIXES[0];
    for next in &PREFIXES[1..] {
        // 999.6 would be written 1000.
        if scaled.abs() < 999.5 {
            break;
        }
        scaled /= 1000.0;
        prefix = next;
    }
    let decimals = match scaled.abs() {
        s if prefix.is_empty() && s.fract() == 0.0 => 0,
        s if s < 9.995 => 2,
        s if s < 99.95 => 1,
        _ => 0,
    };
    format!("{scaled:.decimals$}{prefix}")
}

/// As a float, for what is shown with three digits.
#[expect(clippy::cast_precision_loss, reason = "three significant digits are shown")]
pub(super) fn float(n: u64) -> f64 {
    n as f64
}

/// Octets with an SI prefix: 1.20 GB.
pub(super) fn octets(n: u64) -> String {
    let text = si(float(n));
    if text.contains(' ') { format!("{text}B") } else { format!("{text} B") }
}

/// A length of time in its two largest units: 3 d 4 h, 5 min 6 s, 1.25 s.
pub(super) fn duration(d: Duration) -> String {
    let s = d.as_secs();
    match s {
        0 if d.as_millis() < 1000 => format!("{} ms", d.as_millis()),
        0..60 => format!("{:.2} s", d.as_secs_f64()),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        3600..86_400 => format!("{} h {} min", s / 3600, s / 60 % 60),
        _ => format!("{} d {} h", s / 86_400, s / 3600 % 24),
    }
}

/// Time between two timestamps; nothing when the second is the earlier one.
pub(super) fn between(from: &Option<Timestamp>, to: &Option<Timestamp>) -> Duration {
    let ns = |t: &Option<Timestamp>| t.as_ref().map_or(0, |t| i128::from(t.seconds) * 1_000_000_000 + i128::from(t.nanos));
    Duration::from_nanos(u64::try_from(ns(to) - ns(from)).unwrap_or(0))
}

/// Time of day in UTC with milliseconds: 13:02:37.125.
pub(super) fn clock(t: &Option<Timestamp>) -> String {
    let Some(t) = t else { return "-".to_owned() };
    let s = t.seconds.rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}.{:03}", s / 3600, s / 60 % 60, s % 60, t.nanos / 1_000_000)
}

/// Date and time in UTC to the second: 2026-11-23 13:02:37Z.
pub(super) fn moment(t: &Option<Timestamp>) -> String {
    let Some(t) = t else { return "-".to_owned() };
    Timestamp { seconds: t.seconds, nanos: 0 }.to_string().replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0.0, 7.0, 999.0, 1000.0, 12_345.0, 999_700.0, 148.8e6].map(si),
            ["0", "7", "999", "1.00 k", "12.3 k", "1.00 M", "149 M"]
        );
        assert_eq!(si(0.5), "0.50");
        assert_eq!([12, 1_500].map(octets), ["12 B", "1.50 kB"]);
    }

    #[test]
    fn times_are_written_for_people() {
        let seconds = |s: f64| duration(Duration::from_secs_f64(s));
        assert_eq!([0.25, 1.25, 306.0, 7_260.0, 270_000.0].map(seconds), ["250 ms", "1.25 s", "5 min 6 s", "2 h 1 min", "3 d 3 h"]);
        let t = Some(Timestamp { seconds: 1_700_000_000, nanos: 125_000_000 });
        assert_eq!((clock(&t), moment(&t)), ("22:13:20.125".into(), "2023-11-14 22:13:20Z".into()));
        assert_eq!(between(&t, &Some(Timestamp { seconds: 1_700_000_001, nanos: 0 })), Duration::from_millis(875));
        assert_eq!(between(&t, &None), Duration::ZERO);
    }
}
