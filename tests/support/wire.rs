//! As much of the MongoDB wire protocol as the proxy needs: where a message ends, and which command it holds.
//!
//! Source: the protocol's documentation, "MongoDB Wire Protocol": a header of four little-endian 32-bit numbers
//! (length, request id, response to, opcode); OP_MSG (2013) holds flags, one document (kind 0) and document sequences
//! (kind 1). Must never change a message: what it cannot read passes through as it is.

use anyhow::{Result, bail};
use mongodb::bson::{Bson, Document};
use tokio::io::{AsyncRead, AsyncReadExt};

const HEADER: usize = 16;
const OP_MSG: i32 = 2013;
const CHECKSUM_PRESENT: u32 = 1;
const MORE_TO_COME: u32 = 2;
/// The largest message that the protocol allows, 48,000,000 bytes.
const LARGEST: usize = 48_000_000;

/// A command as rules see it.
#[derive(Clone, Debug)]
pub struct MongoRequest {
    /// For example `insert`, `find`, `getMore`, `hello`, `commitTransaction`.
    pub command: String,
    /// The database it is sent to.
    pub database: String,
    /// The collection it names; empty when it names none.
    pub collection: String,
    /// The whole command, document sequences (`documents`, `updates`, `deletes`) in it as arrays.
    pub body: Document,
}

/// Reads one whole message; None at the end of the stream.
pub async fn read_message(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length).await {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let total = usize::try_from(i32::from_le_bytes(length)).unwrap_or(0);
    if !(HEADER..=LARGEST).contains(&total) {
        bail!("a MongoDB message of {total} bytes");
    }
    let mut message = vec![0; total];
    message[..4].copy_from_slice(&length);
    stream.read_exact(&mut message[4..]).await?;
    Ok(Some(message))
}

fn number(message: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_le_bytes(message.get(at..at + 4)?.try_into().ok()?))
}

fn flags(message: &[u8]) -> Option<u32> {
    if number(message, 12)? != OP_MSG {
        return None;
    }
    Some(u32::from_le_bytes(message.get(HEADER..HEADER + 4)?.try_into().ok()?))
}

/// On a request: no answer will come. On an answer: another one follows without a request.
pub fn more_to_come(message: &[u8]) -> bool {
    flags(message).is_some_and(|flags| flags & MORE_TO_COME != 0)
}

fn document(message: &[u8], at: usize) -> Option<(Document, usize)> {
    let length = usize::try_from(number(message, at)?).ok()?;
    let bytes = message.get(at..at.checked_add(length)?)?;
    Some((Document::from_reader(bytes).ok()?, at + length))
}

/// The command in an OP_MSG; None for other messages, such as a driver's first hello.
pub(super) fn parse(message: &[u8]) -> Option<MongoRequest> {
    let end = message.len() - if flags(message)? & CHECKSUM_PRESENT != 0 { 4 } else { 0 };
    let message = message.get(..end)?;
    let mut at = HEADER + 4;
    let mut body = Document::new();
    let mut sequences = Document::new();
    while at < end {
        let kind = message[at];
        at += 1;
        match kind {
            0 => (body, at) = document(message, at)?,
            1 => {
                let section_end = at.checked_add(usize::try_from(number(message, at)?).ok()?)?;
                let name_end = at + 4 + message.get(at + 4..)?.iter().position(|&byte| byte == 0)?;
                let name = String::from_utf8_lossy(&message[at + 4..name_end]).into_owned();
                let mut documents = Vec::new();
                at = name_end + 1;
                while at < section_end {
                    let (document, next) = document(message, at)?;
                    documents.push(Bson::Document(document));
                    at = next;
                }
                sequences.insert(name, documents);
            }
            _ => return None,
        }
    }
    let (command, first) = body.iter().next().map(|(name, value)| (name.clone(), value.clone()))?;
    // getMore is the one command whose collection stands elsewhere.
    let collection = first.as_str().or_else(|| body.get_str("collection").ok()).unwrap_or_default().to_owned();
    let database = body.get_str("$db").unwrap_or_default().to_owned();
    body.extend(sequences);
    Some(MongoRequest { command, database, collection, body })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::doc;

    fn message(flags: u32, sections: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        for number in [20 + i32::try_from(sections.len()).unwrap(), 7, 0, OP_MSG] {
            message.extend(number.to_le_bytes());
        }
        message.extend(flags.to_le_bytes());
        message.extend(sections);
        message
    }

    #[test]
    fn reads_a_command_with_a_document_sequence() {
        let mut sections = vec![0];
        sections.extend(doc! {"insert": "log", "$db": "co_1"}.to_vec().unwrap());
        let row = doc! {"_id": 1}.to_vec().unwrap();
        sections.push(1);
        sections.extend(i32::try_from(4 + 10 + row.len()).unwrap().to_le_bytes());
        sections.extend(b"documents\0");
        sections.extend(row);
        let request = parse(&message(0, &sections)).unwrap();
        assert_eq!((request.command.as_str(), request.database.as_str()), ("insert", "co_1"));
        assert_eq!(request.collection, "log");
        assert_eq!(request.body.get_array("documents").unwrap(), &vec![Bson::Document(doc! {"_id": 1})]);
    }

    #[test]
    fn leaves_what_it_cannot_read() {
        assert!(parse(&message(0, &[9, 1, 2])).is_none());
        assert!(parse(&message(0, &[0, 255, 255, 255, 127])).is_none());
        let mut query = message(0, &[]);
        query[12..16].copy_from_slice(&2004_i32.to_le_bytes());
        assert!(parse(&query).is_none());
    }

    #[test]
    fn sees_that_more_comes() {
        assert!(more_to_come(&message(MORE_TO_COME, &[])));
        assert!(!more_to_come(&message(0, &[])));
    }
}
