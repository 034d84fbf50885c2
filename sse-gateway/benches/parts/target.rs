//! What a bench measures side by side.

/// The targets of a bench.
pub(crate) trait Target: Clone + Eq + 'static {
    const ALL: &'static [Self];

    /// How the command line calls it.
    fn name(&self) -> &str;

    /// How the table calls it.
    fn title(&self) -> String;
}

/// As in "direct, plain, nginx and gateway".
pub(crate) fn names<T: Target>() -> String {
    let names: Vec<&str> = T::ALL.iter().map(|target| target.name()).collect();
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}
