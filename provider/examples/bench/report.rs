//! Figures: medians with their ranges, beside what they should be and what others reach.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

/// One figure.
pub(crate) struct Figure {
    /// For programs, and stable.
    pub(crate) id: &'static str,
    /// For people.
    pub(crate) what: String,
    pub(crate) unit: Unit,
    /// In the figure's unit, in the order in which they were taken.
    pub(crate) samples: Vec<f64>,
    /// The most it should be, or the least of a rate; none for a floor or a detail.
    pub(crate) target: Option<f64>,
    /// The best known elsewhere on a machine of this kind, or what the figure says.
    pub(crate) beside: &'static str,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Unit {
    Milliseconds,
    Seconds,
    Mebibytes,
    /// A count of them.
    Requests,
    /// A rate: the more, the better.
    PerSecond,
    /// Of 10⁹ bytes; a rate, too.
    GigabytesPerSecond,
}

impl Unit {
    fn is_rate(self) -> bool {
        matches!(self, Self::PerSecond | Self::GigabytesPerSecond)
    }

    fn symbol(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::Mebibytes => "MiB",
            Self::Requests => "requests",
            Self::PerSecond => "/s",
            Self::GigabytesPerSecond => "GB/s",
        }
    }

    /// A duration in this unit.
    pub(crate) fn of(self, duration: Duration) -> f64 {
        match self {
            Self::Milliseconds => duration.as_secs_f64() * 1e3,
            _ => duration.as_secs_f64(),
        }
    }

    /// A number of things.
    #[expect(clippy::cast_precision_loss, reason = "nobody counts to 2^52")]
    pub(crate) fn count(count: usize) -> f64 {
        count as f64
    }

    /// Digits after the point: what repeated runs agree on.
    fn digits(self) -> usize {
        match self {
            Self::Seconds => 3,
            Self::Milliseconds | Self::Mebibytes | Self::GigabytesPerSecond => 2,
            Self::Requests | Self::PerSecond => 0,
        }
    }
}

/// Bytes as mebibytes.
#[expect(clippy::cast_precision_loss, reason = "sizes of processes are far below 2^52")]
pub(crate) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

impl Figure {
    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    /// The middle one, or the mean of the middle two.
    fn median(&self) -> f64 {
        let sorted = self.sorted();
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            odd if odd % 2 == 1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        }
    }

    fn range(&self) -> (f64, f64) {
        let sorted = self.sorted();
        (
            sorted.first().copied().unwrap_or(f64::NAN),
            sorted.last().copied().unwrap_or(f64::NAN),
        )
    }

    /// By how many hundredths the target is missed.
    fn missed_by(&self) -> Option<f64> {
        let target = self.target?;
        let over = (self.median() / target - 1.0) * 100.0;
        let missed_by = if self.unit.is_rate() { -over } else { over };
        (missed_by > 0.0).then_some(missed_by)
    }
}

/// All figures of a run, in the order of the table.
#[derive(Default)]
pub(crate) struct Report {
    figures: Vec<Figure>,
}

impl Report {
    /// Adds a figure, and shows it at once: the table comes when all are there.
    pub(crate) fn add(&mut self, figure: Figure) {
        let [what, median, range, ..] = row(&figure);
        eprintln!("bench:   {what}: {median} ({range})");
        self.figures.push(figure);
    }

    pub(crate) fn to_json(&self) -> Value {
        let figures: Vec<Value> = self
            .figures
            .iter()
            .map(|figure| {
                let (min, max) = figure.range();
                json!({
                    "id": figure.id,
                    "what": figure.what,
                    "unit": figure.unit.symbol(),
                    "median": figure.median(),
                    "min": min,
                    "max": max,
                    "runs": figure.samples.len(),
                    "target": figure.target,
                    "missed": figure.target.map(|_| figure.missed_by().is_some()),
                    "beside": figure.beside,
                    "samples": figure.samples,
                })
            })
            .collect();
        json!({ "cores": std::thread::available_parallelism().map(usize::from).ok(), "figures": figures })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["figure", "median", "min … max", "runs", "target", "", "beside it"].map(str::to_owned);
        let rows: Vec<[String; 7]> = std::iter::once(heads)
            .chain(self.figures.iter().map(row))
            .collect();
        let width = |column: usize| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: [usize; 7] = std::array::from_fn(width);
        for [what, median, range, runs, target, mark, beside] in &rows {
            writeln!(
                f,
                "{what:<0$}  {median:>1$}  {range:>2$}  {runs:>3$}  {target:>4$}  {mark:<5$}  {beside}",
                widths[0], widths[1], widths[2], widths[3], widths[4], widths[5],
            )?;
        }
        Ok(())
    }
}

fn row(figure: &Figure) -> [String; 7] {
    let (digits, symbol) = (figure.unit.digits(), figure.unit.symbol());
    let (min, max) = figure.range();
    [
        figure.what.clone(),
        format!("{:.digits$} {symbol}", figure.median()),
        format!("{min:.digits$} … {max:.digits$}"),
        figure.samples.len().to_string(),
        figure.target.map_or_else(String::new, |target| {
            format!(
                "{} {target} {symbol}",
                if figure.unit.is_rate() { "≥" } else { "≤" }
            )
        }),
        match (figure.target, figure.missed_by()) {
            (None, _) => String::new(),
            (Some(_), None) => "met".to_owned(),
            (Some(_), Some(by)) => format!("MISSED by {by:.0} %"),
        },
        figure.beside.to_owned(),
    ]
}
