//! What several rounds gave.

pub(crate) struct Spread {
    low: f64,
    pub(crate) median: f64,
    high: f64,
}

impl Spread {
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let len = values.len();
        Self {
            low: at(0),
            median: (at(len.saturating_sub(1) / 2) + at(len / 2)) / 2.0,
            high: at(len.saturating_sub(1)),
        }
    }

    pub(crate) fn show(&self, digits: usize) -> String {
        let Self { low, median, high } = self;
        let (low, high) = (format!("{low:.digits$}"), format!("{high:.digits$}"));
        if low == high {
            low
        } else {
            format!("{median:.digits$} ({low}–{high})")
        }
    }
}
