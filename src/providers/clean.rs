//! Makes a provider's text fit for a condition: one line, bounded, without secrets and without ids that change from one
//! answer to the next. Pure.

use super::hide;

/// Longest message, in characters.
const MAX: usize = 300;
/// Longest excerpt of a body, in characters.
const MAX_EXCERPT: usize = 120;
/// What is looked at of a text; nothing behind it could be shown.
const LOOK: usize = 4 * 1024;

/// Cleans a text: `secrets` are replaced in whatever form they come, then whatever looks like a token or a request id.
/// One line of at most 300 characters.
pub(crate) fn clean(text: &str, secrets: &[&str]) -> String {
    shortened(&line(text, secrets), MAX)
}

/// The same as the end of a sentence; nothing where what is answered may hold what was said.
pub(crate) fn excerpt_of(quiet: bool, body: &[u8], secrets: &[&str]) -> String {
    if quiet { String::new() } else { format!("; it starts with: {}", excerpt(body, secrets)) }
}

/// The first characters of a body that should have been JSON.
pub(crate) fn excerpt(body: &[u8], secrets: &[&str]) -> String {
    // Cleaned before it is cut, so that the cut can't leave half a secret that no longer matches.
    let looked_at = &body[..body.len().min(LOOK + hide::margin(secrets))];
    shortened(&line(&String::from_utf8_lossy(looked_at), secrets), MAX_EXCERPT)
}

fn shortened(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    text.chars().take(max - 3).chain("...".chars()).collect()
}

fn line(text: &str, secrets: &[&str]) -> String {
    let text = &text[..text.floor_char_boundary(LOOK + hide::margin(secrets))];
    let spans = hide::spans(text, secrets);
    let mut visible = String::with_capacity(text.len().min(LOOK));
    let mut spans = spans.into_iter().peekable();
    for (at, c) in text.char_indices().take_while(|(at, _)| *at < LOOK) {
        while spans.next_if(|(_, to)| *to <= at).is_some() {}
        match spans.peek() {
            Some((from, _)) if *from == at => visible.push_str("***"),
            Some((from, _)) if *from < at => {}
            _ if hide::is_invisible(c) => {}
            _ => visible.push(c),
        }
    }
    let mut words: Vec<String> = Vec::new();
    let (mut login, mut value) = (false, false);
    for word in visible.split(char::is_whitespace).filter(|word| !word.is_empty()) {
        let lower = word.to_ascii_lowercase();
        words.push(if value || (login && is_login(word)) { "***".to_owned() } else { clean_word(word) });
        login = ["basic", "bearer"].iter().any(|kind| lower.ends_with(kind));
        value = NAMES.iter().any(|name| lower.contains(name)) && lower.ends_with([':', '=']);
    }
    words.join(" ")
}

/// Parameters that hold a token.
const NAMES: [&str; 3] = ["access_token", "appsecret_proof", "input_token"];

/// What stands behind `Basic` or `Bearer` and is no word of a sentence.
fn is_login(word: &str) -> bool {
    let core = word.trim_matches(|c: char| !c.is_alphanumeric());
    core.len() >= 8 && !core.bytes().skip(1).all(|c| c.is_ascii_lowercase())
}

fn clean_word(word: &str) -> String {
    let lower = word.to_ascii_lowercase();
    // The name alone tells nothing.
    let alone = NAMES.contains(&lower.trim_matches(|c: char| !c.is_ascii_alphanumeric()));
    if !alone && NAMES.iter().any(|name| lower.contains(name)) {
        return "***".to_owned();
    }
    // A URL keeps its host and path; a query may hold anything.
    let word = match word.split_once('?') {
        Some((head, _)) if word.contains("://") => format!("{head}?***"),
        _ => word.to_owned(),
    };
    let mut out = String::with_capacity(word.len());
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_-|.".contains(c);
    let mut rest = word.as_str();
    while !rest.is_empty() {
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        let core = part.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        if is_uuid(core) {
            out.push_str(&part.replace(core, "<id>"));
        } else if looks_like_token(core) {
            out.push_str(&part.replace(core, "***"));
        } else {
            out.push_str(part);
        }
        let next = after.find(is_part).unwrap_or(after.len());
        out.push_str(&after[..next]);
        rest = &after[next..];
    }
    out
}

fn is_uuid(word: &str) -> bool {
    word.len() == 36
        && word.bytes().enumerate().all(|(i, c)| match i {
            8 | 13 | 18 | 23 => c == b'-',
            _ => c.is_ascii_hexdigit(),
        })
}

/// Long, with letters and digits mixed, and no ordinary word: a key, token, trace id or signature.
fn looks_like_token(word: &str) -> bool {
    word.len() >= 20
        && word.bytes().all(|c| c.is_ascii_alphanumeric() || b"_-|.".contains(&c))
        && word.bytes().filter(u8::is_ascii_digit).count() >= 4
        && word.bytes().filter(u8::is_ascii_alphabetic).count() >= 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleans() {
        for (text, want) in [
            ("Two step verification PIN Mismatch", "Two step verification PIN Mismatch"),
            ("line\none\t two", "line one two"),
            ("bad key MARKER-token here", "bad key *** here"),
            ("bad key MARKER-tokenMARKER-token.", "bad key ***."),
            ("bad key MARKER%2Dtoken here", "bad key *** here"),
            ("login Basic YXBpOk1BUktFUi10b2tlbg== refused", "login Basic *** refused"),
            ("Authorization:Bearer aB3dE5gH was refused", "Authorization:Bearer *** was refused"),
            ("the bearer authentication failed", "the bearer authentication failed"),
            ("order 3f0e1f7a-1b2c-4d5e-8f90-aabbccddeeff: gone", "order <id>: gone"),
            ("Error validating EAAGm0PX4ZCpsBAKZC1234567890: expired", "Error validating ***: expired"),
            (r#"{"trace":"EAAGm0PX4ZCpsBAKZC1234567890","a":1}"#, r#"{"trace":"***","a":1}"#),
            ("see https://x.example/a/b?access=1&t=2", "see https://x.example/a/b?***"),
            ("GET /me?access_token=abc failed", "GET *** failed"),
            ("Invalid appsecret_proof provided", "Invalid appsecret_proof provided"),
            (r#"{"access_token": "abc", "a": 1}"#, r#"{"access_token": *** "a": 1}"#),
            (r#"{"access_token":"abc"}"#, "***"),
            ("number +212612345678 is taken", "number +212612345678 is taken"),
            ("\u{202e}right to left\u{202c} \u{0}and \u{1b}[31mred", "right to left and [31mred"),
            ("الرقم غير متاح", "الرقم غير متاح"),
        ] {
            assert_eq!(clean(text, &["MARKER-token"]), want, "{text}");
        }
        assert_eq!(clean(&"a ".repeat(1000), &[]).chars().count(), MAX);
        assert_eq!(clean(&"é".repeat(100_000), &[]).chars().count(), MAX);
    }

    #[test]
    fn excerpts_are_short_and_clean() {
        let body = format!("<html><body>{}MARKER{}</body>", "x ".repeat(50), "y".repeat(5000));
        let got = excerpt(body.as_bytes(), &["MARKER"]);
        assert!(got.starts_with("<html><body>x") && got.chars().count() <= 123 && !got.contains("MARKER"), "{got}");
        assert_eq!(excerpt(b"\xff\xfe<html>", &[]), "\u{fffd}\u{fffd}<html>");
    }

    /// Blanks are joined, so that even the last of what is looked at may be shown: half a secret must not be there.
    #[test]
    fn no_half_secret_at_the_cut() {
        let secret = "MARKERmarkerMARKERmarker";
        for before in LOOK - 30..LOOK + 5 {
            for form in [secret.to_owned(), secret.bytes().map(|b| format!("\\u{b:04x}")).collect::<String>()] {
                let body = format!("{}{form}", " ".repeat(before));
                for got in [excerpt(body.as_bytes(), &[secret]), clean(&body, &[secret])] {
                    assert!(got.is_empty() || got == "***", "{before}: {got}");
                }
            }
        }
    }
}
