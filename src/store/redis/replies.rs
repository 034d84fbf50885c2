//! What the server has answered, read as what was asked for.

use bytes::Bytes;
use redis::Value;

use super::{StoreError, text};
use crate::store::{Acquired, Appended, InstanceId, Meta, Reign, Snapshot};

/// The fields of a hash that are read, in this order.
pub(super) const FIELDS: [&str; 8] = ["v", "e", "p", "n", "f", "o", "r", "x"];
pub(super) const VERSION: &str = "1";

/// None where there is no hash.
pub(super) fn meta(value: Value) -> Result<Option<Meta>, StoreError> {
    let malformed = || StoreError::answer("state of a stream");
    let fields = array(value).ok_or_else(malformed)?;
    let fields: [Value; FIELDS.len()] = fields.try_into().map_err(|_| malformed())?;
    let fields = fields.map(string);
    if fields.iter().all(Option::is_none) {
        return Ok(None);
    }
    let [
        version,
        epoch,
        position,
        sequence,
        fence,
        owner,
        reign,
        ended,
    ] = &fields;
    if version.as_deref() != Some(VERSION) {
        return Err(StoreError::version());
    }
    let meta = || {
        Some(Meta {
            epoch: text::parse_bits(epoch.as_deref()?)?,
            position: text::parse_number(position.as_deref()?)?,
            sequence: text::parse_number(sequence.as_deref()?)?,
            fence: text::parse_fence(fence.as_deref()?)?,
            owner: text::parse_owner(owner.as_deref()?)?,
            reign: match reign.as_deref()? {
                "-" => None,
                reign => Some(Reign(text::parse_bits(reign)?)),
            },
            ended: ended.is_some(),
        })
    };
    meta().map(Some).ok_or_else(malformed)
}

pub(super) fn snapshot(
    (meta, entries, note): (Value, Value, Option<Vec<u8>>),
) -> Result<Snapshot, StoreError> {
    let Some(meta) = self::meta(meta)? else {
        // Entries without it are left over, and nobody's.
        return Ok(Snapshot::default());
    };
    let frames = array(entries).and_then(|entries| entries.into_iter().map(frame).collect());
    Ok(Snapshot {
        meta: Some(meta),
        frames: frames.ok_or_else(|| StoreError::answer("log"))?,
        note: note.map(Bytes::from).unwrap_or_default(),
    })
}

pub(super) fn acquired(value: Value) -> Result<Acquired, StoreError> {
    let malformed = || StoreError::answer("outcome of an acquire");
    let mut parts = array(value).ok_or_else(malformed)?.into_iter();
    let kind = parts.next().and_then(string).ok_or_else(malformed)?;
    let mut next = || parts.next().unwrap_or_default();
    let acquired = match kind.as_str() {
        "OWN" => meta(next())?.map(Acquired::Own),
        "CHANGED" => {
            let (fence, owner) = (string(next()), string(next()));
            let fence = fence.map(|fence| text::parse_fence(&fence).ok_or_else(malformed));
            let owner = text::parse_owner(owner.as_deref().unwrap_or_default());
            Some(Acquired::Changed(
                fence.transpose()?,
                owner.ok_or_else(malformed)?,
            ))
        }
        "BUSY" => string(next())
            .and_then(|owner| text::parse_bits(&owner))
            .map(|owner| Acquired::Busy(InstanceId(owner))),
        "ENDED" => Some(Acquired::Ended),
        "DEAD" => Some(Acquired::Dead),
        _ => None,
    };
    acquired.ok_or_else(malformed)
}

pub(super) fn appended(value: Value) -> Result<Appended, StoreError> {
    let mut parts = array(value).unwrap_or_default().into_iter();
    let mut next = || parts.next().and_then(string);
    let appended = match next().as_deref() {
        Some("DONE") => Some(Appended::Done),
        Some("AT") => next()
            .and_then(|at| text::parse_number(&at))
            .map(Appended::At),
        Some("FENCED") => Some(Appended::Fenced),
        _ => None,
    };
    appended.ok_or_else(|| StoreError::answer("outcome of an append"))
}

/// Frames, and the id of the last entry as it is written.
pub(super) fn page(value: Value) -> Result<(Vec<Bytes>, Option<String>), StoreError> {
    let malformed = || StoreError::answer("log");
    let entries = array(value).ok_or_else(malformed)?;
    let last = entries.last().cloned().map(|last| {
        let id = array(last)?.into_iter().next()?;
        string(id)
    });
    let last = last.map(|last| last.ok_or_else(malformed)).transpose()?;
    let frames: Option<_> = entries.into_iter().map(frame).collect();
    Ok((frames.ok_or_else(malformed)?, last))
}

/// Whether the server knows all commands that are used.
pub(super) fn check_version(info: &str) -> Result<(), StoreError> {
    match version(info) >= (7, 0) {
        true => Ok(()),
        false => Err(StoreError::old_server(version_field(info))),
    }
}

/// The first two numbers.
pub(super) fn version(info: &str) -> (u32, u32) {
    let mut numbers = version_field(info).split('.').map(str::parse);
    let mut next = || numbers.next().and_then(Result::ok).unwrap_or(0);
    (next(), next())
}

fn version_field(info: &str) -> &str {
    let mut fields = info.lines().filter_map(|line| line.split_once(':'));
    let version = fields.find(|(field, _)| *field == "redis_version");
    version.map_or("", |(_, version)| version.trim())
}

pub(super) fn is_cluster(info: &str) -> bool {
    // The second is Valkey's.
    let modes = ["redis_mode:cluster", "server_mode:cluster"];
    info.lines().any(|line| modes.contains(&line))
}

/// Since when the server is the primary. The first number changes when the process restarts, the second also when a
/// replica becomes the primary, and so when one that was the primary before becomes it again.
pub(super) fn reign(info: &str) -> Result<Reign, StoreError> {
    let field = |name: &str| {
        let mut fields = info.lines().filter_map(|line| line.split_once(':'));
        fields
            .find(|(field, _)| *field == name)
            .map(|(_, value)| value)
    };
    if field("role") != Some("master") {
        return Err(StoreError::no_primary());
    }
    let (Some(run), Some(history)) = (field("run_id"), field("master_replid")) else {
        return Err(StoreError::answer("description of a server"));
    };
    let hash = blake3::hash(format!("{run}:{history}").as_bytes());
    let first = hash.as_bytes().iter().take(8);
    Ok(Reign(
        first.fold(0, |bits, byte| bits << 8 | u64::from(*byte)),
    ))
}

/// An entry is its id and its fields; there is one field.
fn frame(entry: Value) -> Option<Bytes> {
    let [_, fields]: [Value; 2] = array(entry)?.try_into().ok()?;
    let [_, frame]: [Value; 2] = array(fields)?.try_into().ok()?;
    match frame {
        Value::BulkString(bytes) => Some(Bytes::from(bytes)),
        _ => None,
    }
}

fn array(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

fn string(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        _ => None,
    }
}
