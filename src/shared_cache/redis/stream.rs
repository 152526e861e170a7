//! The commands about a stream, and their replies.

use std::time::Duration;

use ::redis::{Cmd, Value, cmd};

use super::connection::is_id;

pub fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(string) => Some(string.as_bytes()),
        _ => None,
    }
}

/// Reads entries of a stream: ids and the values of their field.
pub fn entries(value: &Value) -> Option<Vec<(String, Vec<u8>)>> {
    let Value::Array(items) = value else { return None };
    let entry = |item: &Value| {
        let Value::Array(parts) = item else { return None };
        let [id, Value::Array(fields)] = &parts[..] else { return None };
        let id = std::str::from_utf8(bytes(id)?).ok().filter(|id| is_id(id))?;
        // An entry with other fields is not one of ours; it cannot be opened either.
        let value = fields.get(1).and_then(bytes).unwrap_or_default();
        Some((id.to_owned(), value.to_vec()))
    };
    items.iter().map(entry).collect()
}

/// Reads the reply of `XREAD` about one stream.
pub fn read_entries(reply: &Value) -> Option<Vec<(String, Vec<u8>)>> {
    match reply {
        Value::Nil => Some(Vec::new()),
        Value::Array(streams) => match &streams[..] {
            [Value::Array(parts)] => parts.get(1).and_then(entries),
            _ => None,
        },
        _ => None,
    }
}

/// The command that reads one entry.
pub fn range(stream: &str, id: &str) -> Cmd {
    cmd("XRANGE").arg(stream).arg(id).arg(id).arg("COUNT").arg(1).take()
}

/// The command that reads the entries after one.
pub fn next(stream: &str, after: &str, count: u32, wait: Duration) -> Cmd {
    let mut command = cmd("XREAD");
    command.arg("COUNT").arg(count);
    if !wait.is_zero() {
        command.arg("BLOCK").arg(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1));
    }
    command.arg("STREAMS").arg(stream).arg(after).take()
}
