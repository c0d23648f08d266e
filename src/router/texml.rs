//! The two TeXML documents that Telnyx fetches when one of the numbers is called. The controller fetches the first one
//! itself, and compares, before it spends a code request: a proxy's error page would cost one.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

/// While a code is awaited: record at once. No pause, beep or trimming, since the code is spoken as soon as the call is
/// answered; one channel; no key and no silence ends it (Telnyx's defaults: beep, two channels, any digit stops it);
/// only `<Record transcription>` leaves a transcription that can be polled.
pub const CAPTURE: &str = concat!(
    r#"<?xml version="1.0" encoding="UTF-8"?>"#,
    "\n",
    r#"<Response><Record playBeep="false" finishOnKey="" maxLength="120" timeout="0" channels="single" format="wav" "#,
    r#"transcription="true" transcriptionEngine="B" transcriptionLanguage="en-US"/></Response>"#,
    "\n"
);

/// At all other times: nobody is recorded.
pub const REJECT: &str = concat!(
    r#"<?xml version="1.0" encoding="UTF-8"?>"#,
    "\n",
    r#"<Response><Reject reason="rejected"/></Response>"#,
    "\n"
);

/// `GET` and `POST` of both: a TeXML application may be set to either.
pub fn app() -> Router {
    let serve = |document: &'static str| {
        let answer = move || async move { xml(document) };
        get(answer).post(answer)
    };
    Router::new().route("/telnyx/capture.xml", serve(CAPTURE)).route("/telnyx/reject.xml", serve(REJECT))
}

fn xml(document: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/xml; charset=utf-8"), (header::CACHE_CONTROL, "no-store")], document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_formed_and_recording_is_the_first_verb() {
        let capture = roxmltree::Document::parse(CAPTURE).unwrap();
        let first = capture.root_element().first_element_child().unwrap();
        assert_eq!((capture.root_element().tag_name().name(), first.tag_name().name()), ("Response", "Record"));
        for (name, value) in [
            ("playBeep", "false"),
            ("finishOnKey", ""),
            ("channels", "single"),
            ("format", "wav"),
            ("maxLength", "120"),
            ("timeout", "0"),
            ("transcription", "true"),
            ("transcriptionEngine", "B"),
            ("transcriptionLanguage", "en-US"),
        ] {
            assert_eq!(first.attribute(name), Some(value), "{name}");
        }
        assert!(first.attribute("trim").is_none());
        let reject = roxmltree::Document::parse(REJECT).unwrap();
        assert_eq!(reject.root_element().first_element_child().unwrap().tag_name().name(), "Reject");
    }
}
