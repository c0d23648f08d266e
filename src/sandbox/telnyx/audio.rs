//! Audio files: silence of the right length that knows which recording it is of.
//!
//! The words are not in the file. Whoever hears it (the sandbox's speech-to-text) looks the recording up by the id in
//! the INFO chunk, so audio that a client stored and sends later is still understood.

use crate::sandbox::http::find;

const MARK: &[u8] = b"clientnumber-sandbox-recording:";
const RATE: u32 = 8_000;

/// A WAV file: 8 kHz, 8 bit, one channel.
pub fn wav(recording_id: &str, millis: u64) -> Vec<u8> {
    let samples = usize::try_from(millis.min(600_000) * u64::from(RATE) / 1_000).unwrap_or(0);
    let mut comment = MARK.to_vec();
    comment.extend_from_slice(recording_id.as_bytes());
    comment.push(0);
    if comment.len() % 2 == 1 {
        comment.push(0);
    }
    let mut info = b"INFOICMT".to_vec();
    info.extend_from_slice(&size(comment.len()));
    info.extend_from_slice(&comment);

    let mut body = b"WAVEfmt ".to_vec();
    body.extend_from_slice(&16u32.to_le_bytes());
    body.extend_from_slice(&1u16.to_le_bytes());
    body.extend_from_slice(&1u16.to_le_bytes());
    body.extend_from_slice(&RATE.to_le_bytes());
    body.extend_from_slice(&RATE.to_le_bytes());
    body.extend_from_slice(&1u16.to_le_bytes());
    body.extend_from_slice(&8u16.to_le_bytes());
    body.extend_from_slice(b"LIST");
    body.extend_from_slice(&size(info.len()));
    body.extend_from_slice(&info);
    body.extend_from_slice(b"data");
    body.extend_from_slice(&size(samples));
    body.resize(body.len() + samples, 0x80);

    let mut file = b"RIFF".to_vec();
    file.extend_from_slice(&size(body.len()));
    file.extend_from_slice(&body);
    file
}

fn size(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}

/// The recording a file is of, if it is one of the sandbox's.
pub fn recording_id(file: &[u8]) -> Option<String> {
    let at = find(&file[..file.len().min(4_096)], MARK)? + MARK.len();
    let id = file.get(at..)?.split(|byte| *byte == 0).next()?;
    String::from_utf8(id.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_wav_of_the_right_length_and_knows_its_recording() {
        let file = wav("3fa85f64-5717", 2_000);
        assert_eq!((&file[..4], &file[8..16]), (&b"RIFF"[..], &b"WAVEfmt "[..]));
        assert_eq!(u32::from_le_bytes(file[4..8].try_into().unwrap()) as usize, file.len() - 8);
        assert_eq!(file.iter().rev().take_while(|byte| **byte == 0x80).count(), 16_000);
        assert_eq!(recording_id(&file).as_deref(), Some("3fa85f64-5717"));
        assert_eq!(recording_id(b"RIFF"), None);
    }
}
