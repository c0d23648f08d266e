//! A profile's photo: uploaded to the app in two steps, then named by its handle in the profile.
//!
//! Meta: `POST /{app}/uploads` opens a session whose id may carry a signature as a query; the bytes go to that id with the
//! headers `file_offset` and `Authorization: OAuth`; the answer `{"h": ...}` is the handle. JPEG or PNG, at most 5 MB. The
//! session id opens the upload to whoever has it, so it is treated as a secret.

use reqwest::Method;
use serde::Deserialize;

use super::types::Profile;
use super::{Client, ProviderError};
use crate::domain::{Invalid, PhoneNumberId};
use crate::providers::lenient;
use crate::providers::request::{Operation, Request};

const MAX_BYTES: usize = 5 * 1024 * 1024;

/// A picture that Meta takes: JPEG or PNG, at most 5 MB; square and at least 192 pixels wide is the sender's business.
#[derive(Clone, PartialEq, Eq)]
pub struct Photo {
    bytes: Vec<u8>,
    kind: &'static str,
}

impl Photo {
    /// Looks at the first bytes, not at a name.
    pub fn new(bytes: Vec<u8>) -> Result<Self, Invalid> {
        let kind = match bytes.as_slice() {
            [0xff, 0xd8, 0xff, ..] => "image/jpeg",
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => "image/png",
            _ => return Err(Invalid::new("photo", "its first bytes", "use a JPEG or PNG file")),
        };
        if bytes.len() > MAX_BYTES {
            return Err(Invalid::new("photo", &format!("{} bytes", bytes.len()), "use a file of at most 5 MB"));
        }
        Ok(Self { bytes, kind })
    }
}

impl Client {
    /// Uploads a photo and shows it in the profile of this number. Three calls; repeatable as a whole.
    pub async fn set_profile_photo(&self, id: &PhoneNumberId, photo: &Photo) -> Result<(), ProviderError> {
        let profile = Profile { photo_handle: Some(self.upload(photo).await?), ..Profile::default() };
        self.update_profile(id, &profile).await
    }

    async fn upload(&self, photo: &Photo) -> Result<String, ProviderError> {
        const OPEN: Operation = Operation::set("open_upload");
        const SEND: Operation = Operation::set("send_upload").slow();
        #[derive(Deserialize)]
        struct Opened {
            #[serde(default, deserialize_with = "lenient::text")]
            id: Option<String>,
        }
        #[derive(Deserialize)]
        struct Sent {
            #[serde(rename = "h", default, deserialize_with = "lenient::text")]
            handle: Option<String>,
        }
        let path = self.path(&[self.app_id().as_str(), "uploads"]);
        let request = Request::new(OPEN, Method::POST, &path)
            .query("file_name", if photo.kind == "image/png" { "photo.png" } else { "photo.jpg" })
            .query("file_length", photo.bytes.len().to_string())
            .query("file_type", photo.kind);
        let opened: Opened = self.transport().json(request).await?;
        let id = opened.id.unwrap_or_default();
        let Some((session, query)) = session(&id) else {
            return Err(self.transport().unreadable(OPEN, "the answer holds no upload session".to_owned()));
        };
        let path = self.path(&[session]);
        let mut request = Request::new(SEND, Method::POST, &path)
            .bytes(photo.kind, photo.bytes.clone())
            .header("file_offset", "0")
            .with_oauth()
            .secret(session);
        for (name, value) in query {
            request = request.secret(&value).query(name, value);
        }
        let sent: Sent = self.transport().json(request).await?;
        sent.handle.ok_or_else(|| self.transport().unreadable(SEND, "the answer holds no handle".to_owned()))
    }
}

/// A session id apart from its query: `upload:MTph...?sig=ARZ...`. Anything else must not become a path.
fn session(id: &str) -> Option<(&str, Vec<(String, String)>)> {
    let (session, query) = id.split_once('?').unwrap_or((id, ""));
    let rest = session.strip_prefix("upload:")?;
    if rest.is_empty()
        || !rest.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'=' | b':' | b'.'))
    {
        return None;
    }
    let query = reqwest::Url::parse(&format!("http://session.invalid/?{query}")).ok()?;
    let pairs = query.query_pairs().into_owned().collect();
    Some((session, pairs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pictures_that_meta_takes() {
        let png = |size: usize| [b"\x89PNG\r\n\x1a\n".as_slice(), &vec![0; size]].concat();
        for (bytes, kind) in [
            (png(10), Some("image/png")),
            (b"\xff\xd8\xff\xe0 jfif".to_vec(), Some("image/jpeg")),
            (b"GIF89a".to_vec(), None),
            (b"<html>".to_vec(), None),
            (Vec::new(), None),
            (png(MAX_BYTES), None),
        ] {
            assert_eq!(Photo::new(bytes).ok().map(|photo| photo.kind), kind);
        }
    }

    #[test]
    fn a_session_is_an_upload_and_nothing_else() {
        let sig = |value: &str| vec![("sig".to_owned(), value.to_owned())];
        for (id, want) in [
            ("upload:MTphdHRh_-Y2g=", Some(("upload:MTphdHRh_-Y2g=", Vec::new()))),
            ("upload:MTph?sig=ARZ%2Bq", Some(("upload:MTph", sig("ARZ+q")))),
            ("upload:", None),
            ("upload:../104", None),
            ("upload:a/b", None),
            ("https://evil.example", None),
            ("104", None),
            ("", None),
        ] {
            assert_eq!(session(id), want, "{id}");
        }
    }
}
