//! Pairs of measurements that were taken one right after the other, and what they say together.
//!
//! A machine is faster at one time than at another; both of a pair have the same share of that.
//! So the ratio is taken within each pair, and of the ratios the one in the middle.

/// A measurement, and the one of the reference beside it, in the same unit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    /// Of what it is compared with.
    pub reference: f64,
    /// Of what is measured.
    pub measured: f64,
}

/// What pairs say together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Compared {
    /// The median of the reference.
    pub reference: f64,
    /// The median of what is measured.
    pub measured: f64,
    /// The median of the pairs' ratios, measured to reference.
    pub ratio: f64,
    /// The lowest ratio of a pair.
    pub lowest: f64,
    /// The highest ratio of a pair.
    pub highest: f64,
}

/// Compares; all numbers are NaN where there is no pair.
pub(crate) fn compare(pairs: &[Pair]) -> Compared {
    let ratios: Vec<f64> = pairs.iter().map(|pair| pair.measured / pair.reference).collect();
    let all = |value: fn(&Pair) -> f64| median(pairs.iter().map(value).collect());
    Compared {
        reference: all(|pair| pair.reference),
        measured: all(|pair| pair.measured),
        ratio: median(ratios.clone()),
        lowest: ratios.iter().copied().fold(f64::NAN, f64::min),
        highest: ratios.iter().copied().fold(f64::NAN, f64::max),
    }
}

/// The value in the middle, or between the two in the middle; NaN of nothing.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle), values.len() % 2) {
        (None, _) => f64::NAN,
        (Some(upper), 0) => f64::midpoint(values[middle - 1], *upper),
        (Some(value), _) => *value,
    }
}

/// What a ratio is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Aim {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
    /// Shown beside the others, without an aim.
    None,
}

impl Aim {
    /// The aim, and whether a value reaches it, for a table.
    pub(crate) fn verdict(self, value: f64) -> String {
        let (sign, bound, reached) = match self {
            Self::AtLeast(bound) => ("≥", bound, value >= bound),
            Self::AtMost(bound) => ("≤", bound, value <= bound),
            Self::None => return String::new(),
        };
        format!("{sign} {bound}: {}", if reached { "reached" } else { "**missed**" })
    }
}

impl Compared {
    /// Cells of a table: reference, measured, ratio, lowest to highest, verdict.
    pub(crate) fn cells(&self, decimals: usize, aim: Aim) -> [String; 5] {
        [
            format!("{:.decimals$}", self.reference),
            format!("{:.decimals$}", self.measured),
            format!("{:.2}", self.ratio),
            format!("{:.2} to {:.2}", self.lowest, self.highest),
            aim.verdict(self.ratio),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(values: &[(f64, f64)]) -> Vec<Pair> {
        values.iter().map(|&(reference, measured)| Pair { reference, measured }).collect()
    }

    #[test]
    fn the_ratio_is_the_middle_one_of_the_pairs_not_that_of_the_medians() {
        // The machine was half as fast during the last pair: the ratio does not see it.
        let compared = compare(&pairs(&[(100.0, 90.0), (100.0, 80.0), (50.0, 45.0)]));
        assert_eq!((compared.reference, compared.measured), (100.0, 80.0));
        assert_eq!((compared.lowest, compared.ratio, compared.highest), (0.8, 0.9, 0.9));
    }

    #[test]
    fn a_median_lies_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn an_aim_is_reached_at_its_bound_and_missed_by_what_is_no_number() {
        assert_eq!(Aim::AtLeast(0.9).verdict(0.9), "≥ 0.9: reached");
        assert_eq!(Aim::AtLeast(0.9).verdict(0.89), "≥ 0.9: **missed**");
        assert_eq!(Aim::AtMost(2.0).verdict(2.1), "≤ 2: **missed**");
        assert_eq!(Aim::AtMost(2.0).verdict(compare(&[]).ratio), "≤ 2: **missed**");
        assert_eq!(Aim::None.verdict(1.0), "");
    }

    #[test]
    fn a_comparison_becomes_cells() {
        let cells = compare(&pairs(&[(100.0, 95.0)])).cells(1, Aim::AtLeast(0.9));
        assert_eq!(cells, ["100.0", "95.0", "0.95", "0.95 to 0.95", "≥ 0.9: reached"]);
    }
}
