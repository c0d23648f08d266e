//! Makes a provider's text fit for a condition: one line, bounded, without secrets and without ids that change from one
//! answer to the next. Pure.

/// Longest message, in characters.
const MAX: usize = 300;

/// Cleans a text: `secrets` are replaced wherever they occur, then whatever looks like a token or a request id.
pub(crate) fn clean(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|s| s.len() >= 4) {
        text = text.replace(secret, "***");
    }
    let words: Vec<String> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .map(clean_word)
        .collect();
    let line = words.join(" ");
    if line.chars().count() > MAX { line.chars().take(MAX).chain("...".chars()).collect() } else { line }
}

/// The first characters of a body that should have been JSON.
pub(crate) fn excerpt(body: &[u8], secrets: &[&str]) -> String {
    // Cleaned before it is cut, so that the cut can't leave half a secret that no longer matches.
    let cleaned = clean(&String::from_utf8_lossy(body), secrets);
    if cleaned.chars().count() > 120 { cleaned.chars().take(120).chain("...".chars()).collect() } else { cleaned }
}

fn clean_word(word: &str) -> String {
    let core = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let lower = core.to_ascii_lowercase();
    if lower.contains("access_token") || lower.contains("appsecret_proof") || lower.contains("input_token") {
        return "***".to_owned();
    }
    if core.is_empty() || !(is_uuid(core) || looks_like_token(core)) {
        // A URL keeps its host and path; a query may hold anything.
        return match word.split_once('?') {
            Some((head, _)) if word.contains("://") => format!("{head}?***"),
            _ => word.to_owned(),
        };
    }
    word.replace(core, if is_uuid(core) { "<id>" } else { "***" })
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
            ("order 3f0e1f7a-1b2c-4d5e-8f90-aabbccddeeff: gone", "order <id>: gone"),
            ("Error validating EAAGm0PX4ZCpsBAKZC1234567890: expired", "Error validating ***: expired"),
            ("see https://x.example/a/b?access=1&t=2", "see https://x.example/a/b?***"),
            ("GET /me?access_token=abc failed", "GET *** failed"),
            ("number +212612345678 is taken", "number +212612345678 is taken"),
        ] {
            assert_eq!(clean(text, &["MARKER-token"]), want, "{text}");
        }
        assert!(clean(&"a ".repeat(1000), &[]).chars().count() <= MAX + 3);
    }

    #[test]
    fn excerpts_are_short_and_clean() {
        let body = format!("<html><body>{}MARKER{}</body>", "x ".repeat(50), "y".repeat(5000));
        let got = excerpt(body.as_bytes(), &["MARKER"]);
        assert!(got.starts_with("<html><body>x") && got.chars().count() <= 123 && !got.contains("MARKER"), "{got}");
    }
}
