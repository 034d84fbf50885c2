//! Cases for tests, as rows of a text.

/// The cells of each row that is not empty.
pub(super) fn rows<'a, const N: usize>(table: &'a str, between: &str) -> Vec<[&'a str; N]> {
    let rows = table.lines().map(str::trim).filter(|row| !row.is_empty());
    let cells = |row: &'a str| row.split(between).collect::<Vec<_>>().try_into();
    rows.map(|row| cells(row).expect(row)).collect()
}
