//! Spellings of a request: what is one route's by the letter may be another's for its upstream, which reads it by rules of its own.

use std::borrow::Cow;

use http::Method;

use crate::config::Route;

/// The routes, by all that servers are known to read in a path.
pub(crate) struct Spellings {
    /// In order, written as [`decoded`] writes. None where no route has a policy, so that there is nothing to get around.
    routes: Vec<Route>,
    /// Whether those with a policy are written so themselves, so that a path which nobody reads otherwise is what it is.
    are_plain: bool,
}

/// There are many readings of a path, and this bounds what they cost. Servers take no longer ones either.
const LONGEST: usize = 8 * 1024;

const LONG: &str = "Write a path of 8 KiB at most.\n";
const METHOD: &str = "Write the method in capital letters.\n";
const UP: &str = "Write the path without `..` and NUL.\n";
const PATH: &str = "Write the path as its route is written: the same letters, none of them encoded, and no slash, dot or semicolon more.\n";

impl Spellings {
    pub(crate) fn of<'a>(routes: impl Iterator<Item = &'a Route> + Clone) -> Self {
        let with_policy = || routes.clone().filter(|route| route.has_policy());
        let is_plain = |route: &Route| route.written(decoded).matcher == route.matcher;
        Spellings {
            are_plain: with_policy().all(is_plain),
            routes: match with_policy().next() {
                None => Vec::new(),
                Some(_) => routes.map(|route| route.written(decoded)).collect(),
            },
        }
    }

    /// Why a request that the route at this place takes, or none, may be one that another takes and has a policy for.
    pub(crate) fn doubt(
        &self,
        method: &Method,
        path: &str,
        place: Option<usize>,
    ) -> Option<&'static str> {
        if self.routes.is_empty() {
            return None;
        }
        let is_method_plain = !method
            .as_str()
            .bytes()
            .any(|byte| byte.is_ascii_lowercase());
        if is_method_plain && self.are_plain && is_plain(path) {
            return None;
        }
        if path.len() > LONGEST {
            return Some(LONG);
        }
        let in_capitals = method.as_str().to_ascii_uppercase();
        let in_capitals = Method::from_bytes(in_capitals.as_bytes()).ok()?;
        // Some servers decode twice.
        let first = once(path);
        let second = once(&first);
        for text in [path, &*first, &*second] {
            if goes_up(text) {
                return Some(UP);
            }
            let text = text.to_lowercase();
            let all = [Some(&*text), behind_host(&text)];
            let mut readings = all.into_iter().flatten().flat_map(readings);
            let elsewhere =
                |path: String| self.leads_elsewhere(&in_capitals, &path, place, is_method_plain);
            if readings.any(elsewhere) {
                return Some(if is_method_plain { PATH } else { METHOD });
            }
        }
        None
    }

    fn leads_elsewhere(
        &self,
        method: &Method,
        reading: &str,
        place: Option<usize>,
        is_method_plain: bool,
    ) -> bool {
        let mut routes = self.routes.iter();
        let Some(at) = routes.position(|route| route.matches(method, reading)) else {
            return false;
        };
        // Where two routes are told apart by case alone, case counts.
        let is_told_apart =
            |place: usize| is_method_plain && self.routes[place].matcher == self.routes[at].matcher;
        Some(at) != place && self.routes[at].has_policy() && !place.is_some_and(is_told_apart)
    }
}

/// Whether nobody reads anything else in it.
fn is_plain(path: &str) -> bool {
    let is_plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._~!$&'()*+,=:@".contains(&byte)
    };
    let mut segments = path.split('/').skip(1);
    path == "/" || segments.all(|one| !matches!(one, "" | "." | "..") && one.bytes().all(is_plain))
}

/// Whether a segment leads out of what is in front of it: to where depends on when it is looked at. Also whether the path ends early
/// for who takes NUL for the end. No honest client sends either.
fn goes_up(path: &str) -> bool {
    path.contains('\0')
        || path
            .split(['/', '\\'])
            .any(|segment| without_parameters(segment) == "..")
}

/// Servers after the manner of servlets leave parameters out. Others take what was encoded for the beginning of a query.
fn without_parameters(segment: &str) -> &str {
    segment.split(BEFORE_PARAMETERS).next().unwrap_or(segment)
}

const BEFORE_PARAMETERS: [char; 3] = [';', '?', '#'];

/// What is the path for who reads the target as a reference to a resource: `//host/path`, as browsers' `URL` does.
fn behind_host(path: &str) -> Option<&str> {
    let rest = path.trim_start_matches(['/', '\\']);
    (path.len() - rest.len() > 1).then(|| rest.find(['/', '\\']).map_or("/", |at| &rest[at..]))
}

/// A path as servers read it: with `\` as `/` or not, with or without parameters, empty segments and dots, and a slash at its end.
fn readings(path: &str) -> Vec<String> {
    let both = |signs: &[char]| match path.contains(signs) {
        true => &[false, true][..],
        false => &[false],
    };
    let mut readings = Vec::new();
    for &turned in both(&['\\']) {
        for &cut in both(&BEFORE_PARAMETERS) {
            for tidy in [false, true] {
                let ends: &[char] = if turned { &['/', '\\'] } else { &['/'] };
                let segments = path.split(ends).map(|segment| match cut {
                    true => without_parameters(segment),
                    false => segment,
                });
                let segments = segments
                    .skip(1)
                    .filter(|segment| !tidy || !matches!(*segment, "" | "."));
                let mut reading = String::with_capacity(path.len() + 1);
                for segment in segments {
                    reading.push('/');
                    reading.push_str(segment);
                }
                let bare = reading.trim_end_matches('/').len();
                reading.truncate(bare);
                if path.ends_with('/') || reading.is_empty() {
                    readings.push(format!("{reading}/"));
                }
                readings.push(reading);
            }
        }
    }
    readings
}

/// Without any percent-encoding, and in lower case.
fn decoded(path: &str) -> String {
    once(&once(path)).to_lowercase()
}

fn once(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return path.into();
    }
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        let digits = behind
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(encoded) if *byte == b'%' => {
                bytes.push(encoded);
                rest = &behind[2..];
            }
            _ => {
                bytes.push(*byte);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_in_a_path_is_what_servers_read() {
        let read = |path: &str| {
            let all = [path.to_owned(), once(path).into_owned(), decoded(path)];
            let all = all.iter().flat_map(|text| {
                let both = [Some(&**text), behind_host(text)];
                both.into_iter().flatten().flat_map(readings)
            });
            all.collect::<Vec<_>>()
        };
        for path in [
            "/v1/chat",
            "//v1/chat",
            "/v1//chat",
            "/v1/./chat",
            "/v1/chat/",
            "/V1/Chat",
            "/v1/%63hat",
            "/v1/%2563hat",
            "/%76%31/chat",
            "/v1%2Fchat",
            "/v1%252fchat",
            "/v1\\chat",
            "/v1/%5cchat",
            "/v1;x=1/chat;y",
            "/v1/chat%3fx",
            "//host/v1/chat",
            "/\\host/v1/chat",
            "///host/v1/chat",
            "//host\\v1/chat",
        ] {
            assert!(
                read(path).contains(&"/v1/chat".to_owned()),
                "{path}: {:?}",
                read(path)
            );
        }
    }
}
