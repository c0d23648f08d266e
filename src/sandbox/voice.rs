//! Executes a TeXML document for one incoming call: is it answered, from when to when is it recorded, is it transcribed.
//!
//! Pure, given the document. Decides only what follows from the verbs and their attributes, with Telnyx's defaults
//! (`<Record>`: beep on, two channels, mp3, no transcription, engine A; Telnyx's page on Record). What it does not know
//! ends the call with an error, as a document that can't be run does.

use super::speech::GAP_MS;

/// What came of running a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Never answered; `busy` or `rejected`.
    Rejected {
        /// The reason attribute.
        busy: bool,
    },
    /// Answered and hung up, or talked to, without a recording.
    HungUp,
    /// Answered and recorded.
    Recorded(Recording),
    /// An error is spoken to the caller; no recording.
    Error(String),
}

/// What `<Record>` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// When it starts to hear, after the answer.
    pub from_ms: u64,
    /// When its time is over (`maxLength`).
    pub until_ms: u64,
    /// Stops at the first silence.
    pub stops_at_silence: bool,
    /// `single` or `dual`.
    pub channels: String,
    /// `wav` or `mp3`.
    pub format: String,
    /// Language of the transcription, if there is to be one.
    pub transcription: Option<String>,
}

/// How much of the speech a beep and the silence around it cover: the recording starts after it.
const BEEP_MS: u64 = 3_500;
const SAY_WORD_MS: u64 = 400;
const PLAY_MS: u64 = 3_000;

/// Runs a document from its first verb on.
pub fn execute(document: &str) -> Verdict {
    let tree = match roxmltree::Document::parse(document.trim_start_matches('\u{feff}').trim_start()) {
        Ok(tree) => tree,
        Err(error) => return Verdict::Error(format!("not XML: {error}")),
    };
    let root = tree.root_element();
    if root.tag_name().name() != "Response" {
        return Verdict::Error(format!("the root element is <{}>, not <Response>", root.tag_name().name()));
    }
    let mut at_ms = 0;
    for verb in root.children().filter(roxmltree::Node::is_element) {
        match verb.tag_name().name() {
            // Only as the first verb it leaves the call unanswered; later it ends an answered one.
            "Reject" if at_ms == 0 => return Verdict::Rejected { busy: verb.attribute("reason") == Some("busy") },
            "Reject" | "Hangup" => return Verdict::HungUp,
            "Pause" => at_ms += seconds(verb.attribute("length"), 1) * 1_000,
            "Say" => at_ms += SAY_WORD_MS * verb.text().unwrap_or("").split_whitespace().count() as u64,
            "Play" => at_ms += PLAY_MS,
            "Record" => return record(&verb, at_ms),
            other => return Verdict::Error(format!("the sandbox can't run <{other}>")),
        }
    }
    Verdict::HungUp
}

fn record(verb: &roxmltree::Node<'_, '_>, at_ms: u64) -> Verdict {
    let on =
        |name: &str, default: bool| verb.attribute(name).map_or(default, |value| value.eq_ignore_ascii_case("true"));
    // Only the word "false" keeps the beep away.
    let beep = !verb.attribute("playBeep").is_some_and(|value| value.eq_ignore_ascii_case("false"));
    let from_ms = at_ms + if beep { BEEP_MS } else { 0 };
    let max_length = seconds(verb.attribute("maxLength"), 3_600);
    if max_length > 14_400 {
        return Verdict::Error("maxLength is above 14400".to_owned());
    }
    let pick = |name: &str, allowed: [&str; 2], default: &str| match verb.attribute(name) {
        None => Ok(default.to_owned()),
        Some(value) if allowed.contains(&value) => Ok(value.to_owned()),
        Some(value) => Err(format!("{name}=\"{value}\" is not one of {allowed:?}")),
    };
    let (channels, format) = match (
        pick("channels", ["single", "dual"], "dual"),
        pick("format", ["wav", "mp3"], "mp3"),
        pick("transcriptionEngine", ["A", "B"], "A"),
    ) {
        (Ok(channels), Ok(format), Ok(_)) => (channels, format),
        (Err(error), _, _) | (_, Err(error), _) | (_, _, Err(error)) => return Verdict::Error(error),
    };
    let timeout_s = seconds(verb.attribute("timeout"), 0);
    let language = verb.attribute("transcriptionLanguage").unwrap_or("en-US").to_owned();
    Verdict::Recorded(Recording {
        from_ms,
        until_ms: from_ms + max_length * 1_000,
        // 0 = no silence limit.
        stops_at_silence: timeout_s > 0 && timeout_s * 1_000 <= GAP_MS,
        channels,
        format,
        transcription: on("transcription", false).then_some(language),
    })
}

fn seconds(value: Option<&str>, default: u64) -> u64 {
    value.and_then(|text| text.trim().parse().ok()).unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(document: &str) -> Recording {
        match execute(document) {
            Verdict::Recorded(recording) => recording,
            other => panic!("{document}: {other:?}"),
        }
    }

    #[test]
    fn the_armed_document_hears_everything() {
        let recording = recorded(
            r#"<?xml version="1.0" encoding="UTF-8"?>
            <Response><Record playBeep="false" finishOnKey="" maxLength="120" channels="single" format="wav"
            transcription="true" transcriptionEngine="B" transcriptionLanguage="en-US"/></Response>"#,
        );
        assert_eq!((recording.from_ms, recording.until_ms), (0, 120_000));
        assert_eq!((recording.channels.as_str(), recording.format.as_str()), ("single", "wav"));
        assert_eq!(recording.transcription.as_deref(), Some("en-US"));
        assert!(!recording.stops_at_silence);
    }

    #[test]
    fn the_defaults_of_record_are_telnyxs() {
        let recording = recorded("<Response><Record/></Response>");
        assert_eq!((recording.from_ms, recording.channels.as_str(), recording.format.as_str()), (3_500, "dual", "mp3"));
        assert_eq!(recording.transcription, None);
    }

    #[test]
    fn whatever_comes_before_the_recording_costs_speech() {
        let cases = [
            (r#"<Response><Record playBeep="no"/></Response>"#, 3_500),
            (r#"<Response><Pause/><Record playBeep="false"/></Response>"#, 1_000),
            (r#"<Response><Pause length="10"/><Record playBeep="false"/></Response>"#, 10_000),
            (r#"<Response><Say>one two</Say><Record playBeep="false"/></Response>"#, 800),
            (r#"<Response><!-- c --><Record playBeep="FALSE"/></Response>"#, 0),
        ];
        for (document, from_ms) in cases {
            assert_eq!(recorded(document).from_ms, from_ms, "{document}");
        }
        assert!(recorded(r#"<Response><Record timeout="1"/></Response>"#).stops_at_silence);
        assert!(!recorded(r#"<Response><Record timeout="5"/></Response>"#).stops_at_silence);
    }

    #[test]
    fn a_document_that_does_not_record_leaves_no_recording() {
        let cases = [
            ("<Response><Reject/></Response>", Verdict::Rejected { busy: false }),
            (r#"<Response><Reject reason="busy"/></Response>"#, Verdict::Rejected { busy: true }),
            ("<Response><Reject/><Record/></Response>", Verdict::Rejected { busy: false }),
            ("<Response><Hangup/></Response>", Verdict::HungUp),
            ("<Response/>", Verdict::HungUp),
            ("<Response><Pause/><Reject/></Response>", Verdict::HungUp),
        ];
        for (document, expected) in cases {
            assert_eq!(execute(document), expected, "{document}");
        }
    }

    #[test]
    fn what_cant_be_run_is_an_error() {
        for document in [
            "",
            "Not Found",
            "<html><body>404</body></html>",
            "{\"error\":1}",
            "<Response><Record></Response>",
            "<Response><Dial>+1</Dial></Response>",
            r#"<Response><Record channels="mono"/></Response>"#,
            r#"<Response><Record maxLength="99999"/></Response>"#,
        ] {
            assert!(matches!(execute(document), Verdict::Error(_)), "{document}");
        }
    }
}
