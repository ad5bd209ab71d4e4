//! Latencies: recorded within 0.1 %, summed up in percentiles, drawn as bars.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longest latency that is told apart: ten minutes.
const MAX_MICROS: u64 = 600_000_000;
/// Rows of a drawing.
const ROWS: usize = 16;
/// Width of the longest bar.
const BAR_CHARS: usize = 40;

/// An empty histogram of microseconds.
pub fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_MICROS, 3).expect("these bounds are valid")
}

/// Whole microseconds.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The latencies that a report names, in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Percentiles {
    /// The shortest.
    pub min: f64,
    /// The mean.
    pub mean: f64,
    /// Half are shorter.
    pub p50: f64,
    /// Nineteen of twenty are shorter.
    pub p95: f64,
    /// 99 of 100 are shorter.
    pub p99: f64,
    /// 999 of 1000 are shorter.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

impl Percentiles {
    /// Of this histogram; none if it is empty.
    pub fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| millis(histogram.value_at_quantile(quantile));
        (!histogram.is_empty()).then(|| Self {
            min: millis(histogram.min()),
            mean: (histogram.mean()).round() / 1e3,
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: millis(histogram.max()),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of minutes are fewer than 2^53")]
fn millis(micros: u64) -> f64 {
    micros as f64 / 1e3
}

/// A row of a drawing: latencies up to a bound.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Row {
    /// The largest latency of the row, in milliseconds.
    pub up_to_ms: f64,
    /// How many.
    pub count: u64,
}

/// The histogram in rows whose bounds grow by a constant factor, from the shortest latency to
/// the longest.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounds of a drawing"
)]
pub fn rows(histogram: &Histogram<u64>) -> Vec<Row> {
    if histogram.is_empty() {
        return Vec::new();
    }
    let (min, max) = (histogram.min().max(1), histogram.max().max(2));
    let factor = (max as f64 / min as f64).powf(1.0 / ROWS as f64);
    let mut rows = Vec::with_capacity(ROWS);
    let mut from = 0;
    for row in 1..=ROWS {
        let up_to = if row == ROWS {
            max
        } else {
            (min as f64 * factor.powi(i32::try_from(row).unwrap_or(i32::MAX))) as u64
        };
        if up_to < from {
            continue;
        }
        // Bounds of neighbours fall on whole buckets, so that nothing is counted twice.
        let up_to = histogram.highest_equivalent(up_to);
        rows.push(Row { up_to_ms: millis(up_to), count: histogram.count_between(from, up_to) });
        from = up_to + 1;
    }
    rows
}

/// The rows as lines with bars.
pub fn draw(rows: &[Row]) -> Vec<String> {
    let most = rows.iter().map(|row| row.count).max().unwrap_or(0).max(1);
    let total: u64 = rows.iter().map(|row| row.count).sum();
    rows.iter()
        .map(|row| {
            let bar = bar(row.count, most);
            let share = percent(row.count, total.max(1));
            format!("≤ {:>10} ms  {bar:<BAR_CHARS$}  {share:>6.2} %", short(row.up_to_ms))
        })
        .collect()
}

/// A bar in eighths of a character; something is never drawn as nothing.
fn bar(count: u64, most: u64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = u128::from(count) * (BAR_CHARS as u128) * 8 / u128::from(most);
    let eighths = usize::try_from(eighths).unwrap_or(BAR_CHARS * 8).max(usize::from(count > 0));
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

#[expect(clippy::cast_precision_loss, reason = "a share for people")]
fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole as f64
}

/// Milliseconds with three digits that matter.
pub fn short(millis: f64) -> String {
    match millis {
        ms if ms >= 100.0 => format!("{ms:.0}"),
        ms if ms >= 10.0 => format!("{ms:.1}"),
        ms if ms >= 1.0 => format!("{ms:.2}"),
        ms => format!("{ms:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled() -> Histogram<u64> {
        let mut histogram = new_histogram();
        for micros in 1..=10_000_u64 {
            histogram.record(micros).unwrap();
        }
        histogram
    }

    #[test]
    fn percentiles_are_those_of_the_values() {
        let all = Percentiles::of(&filled()).unwrap();
        for (got, want) in [(all.p50, 5.0), (all.p95, 9.5), (all.p99, 9.9), (all.max, 10.0)] {
            assert!((got - want).abs() < 0.02, "{got} is not {want}");
        }
        assert_eq!(Percentiles::of(&new_histogram()), None);
    }

    #[test]
    fn every_value_is_in_exactly_one_row() {
        let rows = rows(&filled());
        assert_eq!(rows.iter().map(|row| row.count).sum::<u64>(), 10_000);
        assert!(rows.len() <= ROWS);
        assert!(rows.windows(2).all(|pair| pair[0].up_to_ms < pair[1].up_to_ms));
        let mut one = new_histogram();
        one.record_n(700, 3).unwrap();
        assert_eq!(super::rows(&one).iter().map(|row| row.count).sum::<u64>(), 3);
    }

    #[test]
    fn bars_are_as_long_as_their_share_and_never_nothing() {
        assert_eq!(bar(10, 10).chars().count(), BAR_CHARS);
        assert_eq!(bar(5, 10), "█".repeat(BAR_CHARS / 2));
        assert_eq!(bar(1, 1_000_000), "▏");
        assert_eq!(bar(0, 10), "");
    }

    #[test]
    fn a_drawing_has_bounds_bars_and_shares() {
        let lines = draw(&[Row { up_to_ms: 0.5, count: 3 }, Row { up_to_ms: 12.0, count: 1 }]);
        assert!(lines[0].contains("0.500 ms") && lines[0].ends_with("75.00 %"), "{lines:?}");
        assert!(lines[1].contains("12.0 ms") && lines[1].contains('█'), "{lines:?}");
    }
}
