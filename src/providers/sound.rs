//! The sound of a recording, fetched from the carrier's pre-signed URL into memory: nowhere else, and no longer than it is
//! needed. Telnyx: such a URL is good for about 10 minutes and opens the recording to whoever has it, so that it must
//! never stand in an error or a log; no token goes to it, and no redirect is followed.

use secrecy::ExposeSecret;

use super::base_url;
use super::bounded::{self, Failed};
use super::classify::Class;
use super::error::{Provider, ProviderError};
use super::http::Http;
use super::reason::Reason;
use super::refusal;
use super::request::Operation;
use super::telnyx::Recording;

/// A recording of two minutes, the longest that the capture document makes, has 2 MiB as WAV with one channel.
const MOST: usize = 8 * 1024 * 1024;
const CALL: Operation = Operation { max_bytes: MOST, ..Operation::read("download_recording") };

/// A WAV or MP3 file. No Debug: the code is spoken in it.
pub struct Sound {
    bytes: Vec<u8>,
    wav: bool,
}

impl Sound {
    /// By its first bytes; None: neither WAV nor MP3.
    fn of(bytes: Vec<u8>) -> Option<Self> {
        let wav = match bytes.as_slice() {
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => true,
            // A tag, or at once a frame of MPEG audio.
            [b'I', b'D', b'3', ..] => false,
            [0xff, second, ..] if second & 0xe0 == 0xe0 => false,
            _ => return None,
        };
        Some(Self { bytes, wav })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn kind(&self) -> &'static str {
        if self.wav { "audio/wav" } else { "audio/mpeg" }
    }

    pub(super) fn file_name(&self) -> &'static str {
        if self.wav { "recording.wav" } else { "recording.mp3" }
    }
}

impl Http {
    /// Fetches the sound of a recording that was read just now: at most 8 MiB, within 30 s, once.
    ///
    /// # Errors
    /// NeedsHuman if what is there can't be a recording's sound; else Transient.
    pub async fn sound(&self, recording: &Recording) -> Result<Sound, ProviderError> {
        let Some((url, plain)) = recording.sound_url().and_then(|url| base_url::address(url.expose_secret())) else {
            let what = "nothing to do now; it is tried again by itself";
            return Err(error(Class::Transient, Reason::NotFound, "the recording has no sound to download yet", what));
        };
        let request = if plain { self.direct.get(url) } else { self.proxied.get(url) };
        let answer = bounded::send(self, Provider::Telnyx, CALL, request).await.map_err(lost)?;
        if answer.status != 200 {
            return Err(refused(answer.status));
        }
        // Storage names sound as it likes; a page of a proxy or a refusal in XML is none.
        let text = ["text/", "json", "xml"].iter().any(|kind| answer.kind.contains(kind));
        Sound::of(answer.body).filter(|_| !text).ok_or_else(|| {
            let what = "look at the recording in the Telnyx portal, and at what stands between the controller and Telnyx' storage";
            error(Class::NeedsHuman, Reason::UnreadableAnswer, "what was downloaded is neither WAV nor MP3", what)
        })
    }
}

fn refused(status: u16) -> ProviderError {
    let (class, reason, what) = match status {
        300..=399 => (
            Class::NeedsHuman,
            Reason::Redirected,
            "nothing to do at the Portfolio: the download leads elsewhere, which is not followed; ask Telnyx' support why",
        ),
        401 | 403 => (
            Class::Transient,
            Reason::PermissionDenied,
            "nothing to do now: the address had expired, and a new one is asked for",
        ),
        404 | 410 => {
            (Class::Transient, Reason::NotFound, "nothing to do now: the recording is gone, or not stored yet")
        }
        _ => (Class::Transient, Reason::ProviderUnavailable, "nothing to do now; it is tried again by itself"),
    };
    let mut refused = error(class, reason, &format!("HTTP {status} for a recording's sound"), what);
    refused.http_status = Some(status);
    refused
}

fn lost(failed: Failed) -> ProviderError {
    let by_itself = "nothing to do now; it is tried again by itself";
    match failed {
        Failed::Unsendable => {
            error(Class::Transient, Reason::InvalidRequest, "the recording's address can't be used", by_itself)
        }
        Failed::NoConnection => error(
            Class::Transient,
            Reason::Unreachable,
            "no connection to Telnyx' storage",
            "let the controller reach Telnyx' storage (https, where recordings are downloaded from): network policies, proxy, certificates",
        ),
        Failed::Silence => error(Class::Transient, Reason::NoAnswer, "the download took too long", by_itself),
        Failed::Broken => error(Class::Transient, Reason::NoAnswer, "the download broke off", by_itself),
        Failed::TooLarge => error(
            Class::NeedsHuman,
            Reason::AnswerTooLarge,
            &format!("the recording is larger than {MOST} bytes"),
            "listen to it in the Telnyx portal and hand the code in with kubectl clientnumber verify",
        ),
    }
}

fn error(class: Class, reason: Reason, message: &str, what: &'static str) -> ProviderError {
    refusal::error(Provider::Telnyx, CALL, class, reason, message.to_owned(), what)
}
