//! Tables for people: a heading, columns, numbers to the right.

use std::fmt::Display;

use comfy_table::{Attribute, Cell, CellAlignment, LineStyle, TableStyle};

use super::Colors;

/// Only the heading is set apart, by one line.
const RULED_HEADING: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// A table that is being filled.
pub struct Table {
    inner: comfy_table::Table,
    colors: Colors,
}

impl Table {
    /// A table with these headings; those that begin with `>` have numbers below them.
    pub fn new(colors: Colors, headings: &[&str]) -> Self {
        let mut inner = comfy_table::Table::new();
        inner.load_style(RULED_HEADING);
        if colors.on {
            inner.enforce_styling();
        } else {
            inner.force_no_tty();
        }
        inner.set_header(headings.iter().map(|heading| {
            Cell::new(heading.trim_start_matches('>')).add_attribute(Attribute::Bold)
        }));
        for (index, heading) in headings.iter().enumerate() {
            if heading.starts_with('>')
                && let Some(column) = inner.column_mut(index)
            {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        Self { inner, colors }
    }

    /// Adds a row.
    pub fn row<'a>(&mut self, cells: impl IntoIterator<Item = &'a dyn Display>) {
        self.inner.add_row(cells.into_iter().map(Cell::new));
    }

    /// Adds a row that sums up the others.
    pub fn total<'a>(&mut self, cells: impl IntoIterator<Item = &'a dyn Display>) {
        let bold = self.colors.on;
        self.inner.add_row(cells.into_iter().map(|cell| {
            let cell = Cell::new(cell);
            if bold { cell.add_attribute(Attribute::Bold) } else { cell }
        }));
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.inner.trim_fmt())
    }
}

/// A number with its thousands set apart.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1234567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn numbers_stand_to_the_right() {
        let mut table = Table::new(Colors::OFF, &["topic", ">records"]);
        table.row([&"orders" as &dyn Display, &7]);
        table.row([&"a" as &dyn Display, &12345]);
        let text = table.to_string();
        assert!(text.contains("orders         7"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
