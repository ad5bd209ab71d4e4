//! Tables in Markdown, as far as our own documents use them.

/// A table: its head, and its rows of cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// The tables of a text whose first column has this head.
    pub(crate) fn all_of(text: &str, first: &str) -> Vec<Self> {
        let mut tables = Vec::new();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let Some(head) = cells(line) else { continue };
            let mut table = Self { head, rows: Vec::new() };
            while let Some(row) = lines.peek().and_then(|line| cells(line)) {
                lines.next();
                // The line of dashes below the head is no row.
                if !row.iter().all(|cell| cell.chars().all(|c| matches!(c, '-' | ':'))) {
                    table.rows.push(row);
                }
            }
            tables.push(table);
        }
        tables.retain(|table| table.head[0] == first);
        tables
    }

    /// The rows, in order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|cells| Row { head: &self.head, cells })
    }
}

/// A row of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    head: &'a [String],
    cells: &'a [String],
}

impl<'a> Row<'a> {
    /// The text of a cell, by the head of its column; empty, if there is none.
    pub(crate) fn cell(&self, head: &str) -> &'a str {
        let column = self.head.iter().position(|name| name == head);
        column.and_then(|column| self.cells.get(column)).map_or("", String::as_str)
    }

    /// What stands in backticks in a cell.
    pub(crate) fn code(&self, head: &str) -> Vec<&'a str> {
        self.cell(head).split('`').skip(1).step_by(2).collect()
    }
}

/// The cells of a line that is a row of a table.
fn cells(line: &str) -> Option<Vec<String>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(|cell| cell.trim().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_found_by_the_head_of_their_column() {
        let text = "# x\n\n| other |\n|---|\n| 1 |\n\n| room | may use |\n|---|---|\n\
                    | `a` | `b`, `c` |\n| `b` | |\n\nend\n";
        let tables = Table::all_of(text, "room");
        assert_eq!(tables.len(), 1);
        let rows: Vec<Row<'_>> = tables[0].rows().collect();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].code("room"), ["a"]);
        assert_eq!(rows[0].code("may use"), ["b", "c"]);
        assert_eq!(rows[1].code("may use"), [""; 0]);
        assert_eq!(rows[1].cell("no such column"), "");
    }
}
