//! Results on stdout: a table for people, the API's JSON for programs.

use std::io::Write as _;

use anyhow::Result;
use serde_json::Value;

/// Prints a line.
///
/// # Errors
///
/// When stdout is closed.
pub(super) fn line(text: &str) -> Result<()> {
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(())
}

/// Tells whoever waits for the result, on stderr.
///
/// # Errors
///
/// When stderr is closed.
pub(super) fn note(text: &str) -> Result<()> {
    writeln!(std::io::stderr().lock(), "postrider: {text}")?;
    Ok(())
}

/// Prints a JSON value, indented.
///
/// # Errors
///
/// When stdout is closed.
pub(super) fn json(value: &Value) -> Result<()> {
    line(&serde_json::to_string_pretty(value)?)
}

/// A column's heading and how its cell is found in a row.
pub(super) type Column = (&'static str, fn(&Value) -> String);

/// Prints rows under headings; columns are as wide as their widest cell.
///
/// # Errors
///
/// When stdout is closed.
pub(super) fn table(columns: &[Column], rows: &[Value]) -> Result<()> {
    let headings = columns
        .iter()
        .map(|(heading, _)| (*heading).to_owned())
        .collect();
    let mut lines: Vec<Vec<String>> = vec![headings];
    lines.extend(
        rows.iter()
            .map(|row| columns.iter().map(|(_, cell)| cell(row)).collect()),
    );
    line(aligned(&lines).trim_end())
}

/// Prints the members of an object, one a line.
///
/// # Errors
///
/// When stdout is closed.
pub(super) fn fields(value: &Value) -> Result<()> {
    let members = value.as_object().into_iter().flatten();
    let lines: Vec<Vec<String>> = members
        .map(|(name, value)| vec![name.replace('_', " "), text(value)])
        .collect();
    line(aligned(&lines).trim_end())
}

/// Prints a page, and how to get those beside it.
///
/// # Errors
///
/// When stdout is closed.
pub(super) fn page(answer: &Value, items: &str, columns: &[Column]) -> Result<()> {
    let rows = answer[items].as_array().cloned().unwrap_or_default();
    table(columns, &rows)?;
    for hint in hints(answer, rows.is_empty()) {
        line(&hint)?;
    }
    Ok(())
}

/// Where a list goes on.
fn hints(answer: &Value, is_empty: bool) -> Vec<String> {
    let beside = |name: &str| answer[name].as_str().filter(|token| !token.is_empty());
    let (older, newer) = (beside("next_page_token"), beside("prev_page_token"));
    let mut hints = Vec::new();
    match (is_empty, older) {
        (false, _) => {}
        (true, None) => hints.push("nothing".to_owned()),
        (true, Some(_)) => hints.push("nothing so far: there is more to look at".to_owned()),
    }
    if older.is_some() || newer.is_some() {
        hints.push(String::new());
    }
    hints.extend(newer.map(|token| format!("newer: --page-token {token}")));
    hints.extend(older.map(|token| format!("older: --page-token {token}")));
    hints
}

/// A JSON value as people write it.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(|item| !item.is_object()) => {
            items.iter().map(text).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

fn aligned(lines: &[Vec<String>]) -> String {
    let mut widths = Vec::new();
    for cells in lines {
        widen(&mut widths, cells);
    }
    lines.iter().map(|cells| padded(cells, &widths)).collect()
}

fn widen(widths: &mut Vec<usize>, cells: &[String]) {
    widths.resize(widths.len().max(cells.len()), 0);
    for (width, cell) in widths.iter_mut().zip(cells) {
        *width = cell.chars().count().max(*width);
    }
}

/// A line as wide as the columns.
fn padded(cells: &[String], widths: &[usize]) -> String {
    let padded: Vec<String> = cells
        .iter()
        .zip(widths)
        .map(|(cell, width)| {
            let pad = width - cell.chars().count();
            format!("{}{:pad$}", printable(cell), "")
        })
        .collect();
    format!("{}\n", padded.join("  ").trim_end())
}

/// A table whose rows come one by one; columns get wider when they must.
pub(super) struct Rows {
    columns: Vec<Column>,
    widths: Vec<usize>,
}

impl Rows {
    /// A table without rows: nothing is printed yet.
    pub(super) const fn new(columns: Vec<Column>) -> Self {
        let widths = Vec::new();
        Self { columns, widths }
    }

    /// Prints a row, the first one under headings.
    ///
    /// # Errors
    ///
    /// When stdout is closed.
    pub(super) fn add(&mut self, row: &Value) -> Result<()> {
        line(self.lines(row).trim_end())
    }

    fn lines(&mut self, row: &Value) -> String {
        let mut lines: Vec<Vec<String>> = Vec::new();
        if self.widths.is_empty() {
            let headings = self.columns.iter();
            lines.push(headings.map(|(heading, _)| (*heading).to_owned()).collect());
        }
        lines.push(self.columns.iter().map(|(_, cell)| cell(row)).collect());
        for cells in &lines {
            widen(&mut self.widths, cells);
        }
        lines
            .iter()
            .map(|cells| padded(cells, &self.widths))
            .collect()
    }
}

/// A customer's text must not move the cursor of whoever looks at it.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_aligned() {
        let lines = [
            vec!["ID".to_owned(), "URL".to_owned()],
            vec!["ep_1".to_owned(), "x\u{1b}".to_owned()],
        ];
        assert_eq!(aligned(&lines), "ID    URL\nep_1  x\u{fffd}\n");
    }

    #[test]
    fn rows_that_come_later_stand_under_the_first() {
        let mut rows = Rows::new(vec![
            ("ID", |row| text(&row["id"])),
            ("MS", |row| text(&row["ms"])),
        ]);
        assert_eq!(
            rows.lines(&json!({"id": "att_1", "ms": 7})),
            "ID     MS\natt_1  7\n"
        );
        assert_eq!(
            rows.lines(&json!({"id": "a", "ms": 12345})),
            "a      12345\n"
        );
        assert_eq!(
            rows.lines(&json!({"id": "att_100", "ms": 1})),
            "att_100  1\n"
        );
    }

    #[test]
    fn a_page_names_those_beside_it() {
        let ends = json!({"next_page_token": "", "prev_page_token": ""});
        assert_eq!(hints(&ends, false), [""; 0]);
        assert_eq!(hints(&ends, true), ["nothing"]);
        let middle = json!({"next_page_token": "a", "prev_page_token": "b"});
        assert_eq!(
            hints(&middle, false),
            ["", "newer: --page-token b", "older: --page-token a"]
        );
        let looking = json!({"next_page_token": "a", "prev_page_token": ""});
        assert_eq!(
            hints(&looking, true)[0],
            "nothing so far: there is more to look at"
        );
    }

    #[test]
    fn values_are_shown_for_people() {
        assert_eq!(text(&json!(["a", "b"])), "a, b");
        assert_eq!(text(&json!(null)), "-");
        assert_eq!(text(&json!(7)), "7");
        assert_eq!(text(&json!({"state": "healthy"})), r#"{"state":"healthy"}"#);
    }
}
