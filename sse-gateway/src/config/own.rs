//! What a route says of itself, and what its own preset adds to that.

use super::given::{Layers, Values};
use super::route_entry::RouteEntry;
use super::setting::Setting;
use super::{Place, Sources, known, preset};

/// `key value` for each setting; behind those of a preset stands that they are.
pub(super) fn told(sources: &Sources, entry: &RouteEntry) -> Vec<String> {
    let [flags, variables, file] = sources.top();
    let given = [&entry.values, flags, variables, file];
    let preset = match entry.values.get(&Setting::preset()) {
        Some(_) => preset::values(Layers(&given)),
        // Of the top, where it is told of.
        None => Values::default(),
    };
    let named = known::ALL.iter().filter_map(|setting| {
        let own = entry.values.get(setting);
        let is_given = Layers(&given).given(setting)?.place != Place::Default;
        own.or_else(|| preset.get(setting).filter(|_| !is_given))
            .map(|given| (setting, given))
    });
    named
        .filter(|(setting, _)| setting.name != Setting::upstream().name)
        .map(|(setting, given)| line(setting, &given.text, &given.place))
        .collect()
}

/// One setting as it is listed among others.
pub(super) fn line(setting: &Setting, text: &str, place: &Place) -> String {
    let text = text.escape_debug();
    match place {
        Place::Preset(_) => format!("{} {text} (preset)", setting.path()),
        _ => format!("{} {text}", setting.path()),
    }
}
