//! Rows of text: drawn for a terminal, plainly aligned otherwise.

use std::io;

use crate::printer::Printer;

/// Columns of a terminal below which cells are not wrapped.
const NARROW: u16 = 60;

/// A table with a header. Cells must be escaped already.
pub(crate) struct Table {
    header: Vec<&'static str>,
    right: Vec<usize>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(header: [&'static str; N]) -> Self {
        Self { header: header.to_vec(), right: Vec::new(), rows: Vec::new() }
    }

    /// Numbers stand at the right of these columns.
    pub(crate) fn right(mut self, columns: &[usize]) -> Self {
        self.right = columns.to_vec();
        self
    }

    /// One more column at the right.
    pub(crate) fn and(mut self, column: &'static str) -> Self {
        self.header.push(column);
        self
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        debug_assert_eq!(cells.len(), self.header.len());
        self.rows.push(cells);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn print(&self, printer: &Printer) -> io::Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        if printer.is_terminal() {
            printer.line(self.drawn())
        } else {
            printer.bytes(self.plain().as_bytes())
        }
    }

    fn drawn(&self) -> String {
        let mut table = comfy_table::Table::new();
        // A terminal that does not tell its width, or one of a few columns,
        // gets long lines rather than columns of single letters.
        let arrangement = match table.width() {
            Some(width) if width >= NARROW => comfy_table::ContentArrangement::Dynamic,
            _ => comfy_table::ContentArrangement::Disabled,
        };
        table
            .load_style(comfy_table::presets::UTF8_HORIZONTAL_ONLY)
            .set_content_arrangement(arrangement)
            .set_header(&self.header);
        for &column in &self.right {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(comfy_table::CellAlignment::Right);
            }
        }
        for row in &self.rows {
            table.add_row(row);
        }
        table.to_string()
    }

    /// Columns two spaces apart, no space at the ends of lines.
    fn plain(&self) -> String {
        let widths: Vec<usize> = (0..self.header.len())
            .map(|i| {
                let cells = self.rows.iter().map(|row| row[i].chars().count());
                cells.chain([self.header[i].len()]).max().unwrap_or(0)
            })
            .collect();
        let header: Vec<String> = self.header.iter().map(|h| (*h).to_owned()).collect();
        let mut out = String::new();
        for row in std::iter::once(&header).chain(&self.rows) {
            let mut line = String::new();
            for (i, cell) in row.iter().enumerate() {
                let pad = " ".repeat(widths[i] - cell.chars().count());
                let (before, after) =
                    if self.right.contains(&i) { (&*pad, "") } else { ("", &*pad) };
                if i > 0 {
                    line.push_str("  ");
                }
                line.extend([before, cell, after]);
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_columns_are_aligned_without_trailing_spaces() {
        let mut table = Table::new(["NAME", "SIZE", "NOTE"]).right(&[1]);
        table.row(["animals".into(), "6.0 MB".into(), String::new()]);
        table.row(["é".into(), "1 B".into(), "x".into()]);
        assert_eq!(table.plain(), "NAME       SIZE  NOTE\nanimals  6.0 MB\né           1 B  x\n");
    }
}
