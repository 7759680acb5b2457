//! The table of a report: what each way took, and how that compares with the first.

use std::fmt::Write as _;

use super::measure::Usage;

const GIB: f64 = 1_073_741_824.0;
const MIB: f64 = 1_048_576.0;

/// One thing that was done in several ways.
pub(super) struct Row {
    pub(super) what: String,
    /// How much was moved.
    pub(super) bytes: u64,
    /// The ways; the others are compared with the first.
    pub(super) columns: Vec<Column>,
}

/// One way.
pub(super) struct Column {
    name: &'static str,
    usage: Usage,
}

impl Column {
    pub(super) fn new(name: &'static str, usage: Usage) -> Self {
        Self { name, usage }
    }
}

/// The rows as Markdown. They have the same columns.
#[expect(
    clippy::cast_precision_loss,
    reason = "sizes for people: 53 bits are plenty"
)]
pub(super) fn markdown(rows: &[Row]) -> String {
    let mut text = String::from("| what | quantity |");
    let Some(first) = rows.first() else {
        return String::new();
    };
    for (index, column) in first.columns.iter().enumerate() {
        let ratio = if index == 0 { "" } else { " ratio |" };
        let _ = write!(text, " {} |{ratio}", column.name);
    }
    let _ = write!(
        text,
        "\n|---|---|{}\n",
        "---|".repeat(2 * first.columns.len() - 1)
    );
    for row in rows {
        let gib = row.bytes as f64 / GIB;
        let what = format!("{}, {gib:.2} GiB", row.what);
        let mut line = |quantity: &str, unit: &str, of: &dyn Fn(&Usage) -> f64| {
            let _ = write!(text, "| {what} | {quantity} |");
            let base = of(&row.columns[0].usage);
            for (index, column) in row.columns.iter().enumerate() {
                let value = of(&column.usage);
                let _ = write!(text, " {value:.2} {unit} |");
                if index > 0 {
                    let _ = write!(text, " {:.2} |", value / base);
                }
            }
            text.push('\n');
        };
        line("time", "s", &|usage| usage.elapsed.as_secs_f64());
        line("client CPU per GiB", "s", &|usage| {
            usage.cpu.as_secs_f64() / gib
        });
        line("client peak memory", "MiB", &|usage| {
            usage.peak_bytes as f64 / MIB
        });
    }
    text
}
