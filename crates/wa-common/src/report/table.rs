//! Tables as kubectl prints them, and what becomes of one that is wider than the terminal.

use std::fmt::Display;

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use human_text::{LEAST_COLUMN, columns, printable};

use super::Styles;

/// Between two columns.
const GAP: u16 = 3;

/// A table as kubectl prints one: column names in capitals, columns parted by spaces, no lines, cells never cut.
pub fn table<Row, Cell>(header: &[&str], rows: impl IntoIterator<Item = Row>) -> String
where
    Row: IntoIterator<Item = Cell>,
    Cell: Display,
{
    Cells::new(header, rows).whole().trim_fmt()
}

impl Styles {
    /// A table for a terminal of this width. One that is too wide has its cells broken between words; where the words are
    /// too long for that, each row is told in lines of its own.
    pub fn table<Row, Cell>(&self, header: &[&str], rows: impl IntoIterator<Item = Row>) -> String
    where
        Row: IntoIterator<Item = Cell>,
        Cell: Display,
    {
        let cells = Cells::new(header, rows);
        match self.width {
            Some(width) => cells.within(width),
            None => cells.whole().trim_fmt(),
        }
    }
}

struct Cells {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Cells {
    fn new<Row, Cell>(header: &[&str], rows: impl IntoIterator<Item = Row>) -> Self
    where
        Row: IntoIterator<Item = Cell>,
        Cell: Display,
    {
        let cell = |cell: Cell| printable(&cell.to_string()).into_owned();
        let rows = rows.into_iter();
        Self {
            header: header.iter().copied().map(str::to_owned).collect(),
            rows: rows
                .map(|row| row.into_iter().map(cell).collect())
                .collect(),
        }
    }

    fn within(&self, width: usize) -> String {
        let whole = self.widths(columns);
        let all = sum(&whole);
        let narrow = self.widths(longest_part);
        let last = whole.last().copied().unwrap_or_default();
        let left = width.saturating_sub(all - last);
        // The last column is broken by who prints lines.
        let last_breaks = left >= LEAST_COLUMN.max(narrow.last().copied().unwrap_or_default());
        if all <= width || last_breaks {
            self.whole().trim_fmt()
        } else if sum(&narrow) <= width {
            self.broken(&narrow, width)
        } else {
            self.in_lines()
        }
    }

    /// For each column the widest of its cells, as `measure` has it.
    fn widths(&self, measure: fn(&str) -> usize) -> Vec<usize> {
        let rows = || std::iter::once(&self.header).chain(&self.rows);
        let widest = |at| {
            let cells = rows().filter_map(|row: &Vec<String>| row.get(at));
            cells
                .map(|cell: &String| measure(cell))
                .max()
                .unwrap_or_default()
        };
        (0..self.header.len()).map(widest).collect()
    }

    fn whole(&self) -> Table {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(&self.header);
        for row in &self.rows {
            table.add_row(row);
        }
        let last = self.header.len().saturating_sub(1);
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, if index == last { 0 } else { GAP }));
        }
        table
    }

    /// No column is narrower than `least`, so that no word is broken.
    fn broken(&self, least: &[usize], width: usize) -> String {
        let number = |columns: usize| u16::try_from(columns).unwrap_or(u16::MAX);
        let mut table = self.whole();
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(number(width));
        for (column, least) in table.column_iter_mut().zip(least) {
            let least = Width::Fixed(number(*least) + column.padding_width());
            column.set_constraint(ColumnConstraint::LowerBoundary(least));
        }
        table.trim_fmt()
    }

    /// A line for each cell that says something, and an empty one between two rows.
    fn in_lines(&self) -> String {
        let label = self.header.iter().map(|name| columns(name)).max();
        let label = label.unwrap_or_default() + usize::from(GAP);
        let rows = self.rows.iter().map(|row| {
            let cells = self.header.iter().zip(row);
            let lines = cells.filter(|(_, cell)| !cell.is_empty());
            let lines = lines.map(|(name, cell)| format!("{name:<label$}{cell}"));
            lines.collect::<Vec<_>>().join("\n")
        });
        rows.collect::<Vec<_>>().join("\n\n")
    }
}

fn sum(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + usize::from(GAP) * widths.len().saturating_sub(1)
}

/// The widest part of a cell that is not broken: a word, or the whole where it is a number with its unit, or a time.
fn longest_part(cell: &str) -> usize {
    if cell.starts_with(|c: char| c.is_ascii_digit()) {
        return columns(cell);
    }
    let words = cell.split(' ').map(columns);
    words.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: [&str; 4] = ["NAME", "SIZE", "STATE", "AGE"];
    const ROW: [&str; 4] = [
        "a-set-of-20-columns",
        "512.0 KiB",
        "complete, and restored as a trial",
        "3h",
    ];

    fn within(width: usize) -> String {
        let styles = Styles {
            width: Some(width),
            ..Styles::default()
        };
        styles.table(&HEADER, [ROW])
    }

    #[test]
    fn tables_have_no_trailing_blanks_and_no_lines() {
        let text = table(&["NAME", "SIZE"], [["a", "1 B"], ["longer", "2 B"]]);
        assert_eq!(text, "NAME     SIZE\na        1 B\nlonger   2 B");
    }

    #[test]
    fn a_table_that_is_too_wide_is_broken_between_words_and_numbers_keep_their_units() {
        let whole = table(&HEADER, [ROW]);
        assert_eq!(within(80), whole);
        assert_eq!(Styles::default().table(&HEADER, [ROW]), whole);
        let broken = "\
NAME                  SIZE        STATE            AGE
a-set-of-20-columns   512.0 KiB   complete, and    3h
                                  restored as a
                                  trial";
        assert_eq!(within(54), broken);
        for width in 49..80 {
            let shown = within(width);
            assert!(shown.lines().all(|line| columns(line) <= width), "{shown}");
            for word in ROW.iter().flat_map(|cell| cell.split(' ')) {
                assert!(shown.contains(word), "{word}: {shown}");
            }
            assert!(shown.contains("512.0 KiB"), "{shown}");
        }
    }

    #[test]
    fn a_row_whose_words_are_too_long_for_the_terminal_is_told_in_lines() {
        let lines = "\
NAME    a-set-of-20-columns
SIZE    512.0 KiB
STATE   complete, and restored as a trial
AGE     3h";
        assert_eq!(within(40), lines);
        let styles = Styles {
            width: Some(40),
            ..Styles::default()
        };
        let [name, ..] = ROW;
        let short = styles.table(
            &HEADER,
            [[name, "", "complete, and restored as a trial", ""]],
        );
        assert_eq!(short.lines().count(), 2);
        assert_eq!(
            styles.table(&HEADER, [ROW; 2]),
            format!("{lines}\n\n{lines}")
        );
    }

    #[test]
    fn a_last_column_is_left_to_who_breaks_lines() {
        let row = ["a", "one two three four five six seven eight"];
        let styles = Styles {
            width: Some(30),
            ..Styles::default()
        };
        assert_eq!(styles.table(&["A", "B"], [row]), table(&["A", "B"], [row]));
    }
}
