//! The table of a series: what was run, what came of it and what it cost. Pure.

use std::fmt::Write as _;
use std::time::Duration;

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    pub phase: &'static str,
    pub point: String,
    pub moment: &'static str,
    /// What is wrong; empty: nothing.
    pub wrong: Vec<String>,
    pub purchases: usize,
    pub codes: u64,
    pub registers: u64,
    pub took: Duration,
}

impl Row {
    /// One word as soon as it is known, for whoever watches.
    pub fn say(&self) {
        println!("{}", self.told());
    }

    /// The row in one line. `scripts/suites.py` repeats those that begin with FAILED.
    pub fn told(&self) -> String {
        let result = if self.wrong.is_empty() { "passed" } else { "FAILED" };
        let (took, phase, point, moment) = (self.took.as_secs_f64(), self.phase, &self.point, self.moment);
        format!("{result} {took:.1} s: {phase}, {point}: {moment} {:?}", self.wrong)
    }
}

/// `N points, N passed`.
pub fn summary(series: &str, rows: &[Row]) -> String {
    let passed = rows.iter().filter(|row| row.wrong.is_empty()).count();
    format!("{series}: {} points, {passed} passed", rows.len())
}

/// The table in Markdown, its summary first.
pub fn markdown(series: &str, rows: &[Row]) -> String {
    let mut text = format!("{}\n\n", summary(series, rows));
    text.push_str("| phase | point | killed | result | purchases | codes | registers | s |\n");
    text.push_str("| --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for row in rows {
        let result =
            if row.wrong.is_empty() { "passed".to_owned() } else { format!("FAILED: {}", row.wrong.join("; ")) };
        let cell = |text: &str| text.replace('|', "/").replace('\n', " ");
        let (phase, point, moment, result) = (row.phase, cell(&row.point), row.moment, cell(&result));
        let (purchases, codes, registers, took) = (row.purchases, row.codes, row.registers, row.took.as_secs_f64());
        let _ = writeln!(
            text,
            "| {phase} | {point} | {moment} | {result} | {purchases} | {codes} | {registers} | {took:.1} |"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_counted_and_says_why() {
        let row = |wrong: &[&str]| Row {
            phase: "onboarding",
            point: "a|b".into(),
            moment: "answer lost",
            wrong: wrong.iter().map(|w| (*w).to_owned()).collect(),
            purchases: 1,
            codes: 1,
            registers: 1,
            took: Duration::from_millis(1250),
        };
        let rows = [row(&[]), row(&["2 purchases"])];
        let text = markdown("one replica", &rows);
        assert!(text.starts_with("one replica: 2 points, 1 passed\n"), "{text}");
        assert!(text.contains("| onboarding | a/b | answer lost | passed | 1 | 1 | 1 | 1.2 |"), "{text}");
        assert!(text.contains("| FAILED: 2 purchases |"), "{text}");
    }
}
