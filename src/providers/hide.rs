//! Finds secrets in a text that somebody else wrote, in every form in which an echo may carry them: as they are, with
//! JSON, URL or HTML escapes (also two deep), split by blanks or hyphens, as hex, or inside base64 (Basic logins).
//! Pure. It only finds; what is put in their place is `clean.rs`'s.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// Shorter than this a secret would be found everywhere.
const SHORTEST: usize = 4;
/// Shorter pieces of base64 or hex are found by chance.
const SHORTEST_CODED: usize = 8;
/// How many escapes lie on top of each other at most.
const LAYERS: usize = 3;
/// Longest form of one character of a secret: `%255Cu0041`.
const LONGEST_FORM: usize = 12;

/// One character of a decoded text and where its escape began and ended in the text.
#[derive(Clone, Copy)]
struct Glyph {
    char: char,
    from: usize,
    to: usize,
}

/// True if a secret is in the text in any form.
pub(super) fn holds(text: &str, secrets: &[&str]) -> bool {
    !spans(text, secrets).is_empty()
}

/// How much of the end of a text that was cut may hold the beginning of a secret.
pub(super) fn margin(secrets: &[&str]) -> usize {
    secrets.iter().map(|secret| secret.len() * LONGEST_FORM).max().unwrap_or(0)
}

/// Byte ranges of the text that hold a secret: sorted, not overlapping.
pub(super) fn spans(text: &str, secrets: &[&str]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut layer: Vec<Glyph> = text
        .char_indices()
        .filter(|(_, c)| !is_invisible(*c))
        .map(|(from, char)| Glyph { char, from, to: from + char.len_utf8() })
        .collect();
    let plain: Vec<Vec<char>> =
        secrets.iter().filter(|s| s.len() >= SHORTEST).map(|secret| secret.chars().collect()).collect();
    let coded: Vec<Vec<char>> = secrets.iter().filter(|s| s.len() >= SHORTEST).flat_map(|s| forms(s)).collect();
    for _ in 0..LAYERS {
        let joined: Vec<Glyph> = layer.iter().copied().filter(|g| !g.char.is_whitespace() && g.char != '-').collect();
        for needle in &plain {
            search(&layer, needle, same, &mut found);
            // A secret with hyphens of its own is looked for without them as well.
            let bare: Vec<char> = needle.iter().copied().filter(|c| *c != '-' && !c.is_whitespace()).collect();
            if bare.len() >= SHORTEST {
                search(&joined, &bare, same, &mut found);
            }
        }
        for needle in &coded {
            search(&layer, needle, same_base64, &mut found);
            search(&joined, needle, same_base64, &mut found);
        }
        let next = unescaped(&layer);
        if next.len() == layer.len() {
            break;
        }
        layer = next;
    }
    merged(found)
}

/// Characters that are not seen and could stand inside a secret or turn the direction of a line.
pub(super) fn is_invisible(c: char) -> bool {
    (c.is_control() && !c.is_whitespace())
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The secret as hex, and what base64 always shows of it, wherever it begins within three bytes.
fn forms(secret: &str) -> Vec<Vec<char>> {
    let mut forms: Vec<Vec<char>> = vec![hex::encode(secret).chars().collect()];
    for before in 0..3_usize {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(secret.as_bytes());
        let text = STANDARD_NO_PAD.encode(&bytes);
        // The first and the last character may also hold bits of what stands beside the secret.
        let (first, last) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
        forms.push(text.chars().take(last).skip(first).collect());
    }
    forms.retain(|form| form.len() >= SHORTEST_CODED.min(secret.len()));
    forms
}

fn same(a: char, b: char) -> bool {
    a.eq_ignore_ascii_case(&b)
}

/// Either alphabet; hex in either case is matched by the rule before.
fn same_base64(a: char, b: char) -> bool {
    let usual = |c| match c {
        '-' => '+',
        '_' => '/',
        other => other,
    };
    usual(a).eq_ignore_ascii_case(&usual(b))
}

fn search(layer: &[Glyph], needle: &[char], same: fn(char, char) -> bool, found: &mut Vec<(usize, usize)>) {
    for window in layer.windows(needle.len().max(1)) {
        if let (Some(first), Some(last)) = (window.first(), window.last())
            && window.iter().zip(needle).all(|(glyph, wanted)| same(glyph.char, *wanted))
        {
            found.push((first.from, last.to));
        }
    }
}

/// One layer of escapes less: `\u0041`, `\/`, `%41`, `&#65;`, `&#x41;`, `&amp;`.
fn unescaped(layer: &[Glyph]) -> Vec<Glyph> {
    let mut out = Vec::with_capacity(layer.len());
    let mut at = 0;
    while let Some(glyph) = layer.get(at) {
        let rest = &layer[at..];
        let (char, length) = escape(rest).unwrap_or((glyph.char, 1));
        let to = rest.get(length - 1).map_or(glyph.to, |last| last.to);
        out.push(Glyph { char, from: glyph.from, to });
        at += length;
    }
    out
}

/// The character that an escape at the beginning stands for, and the escape's length.
fn escape(rest: &[Glyph]) -> Option<(char, usize)> {
    let text = |from: usize, length: usize| -> Option<String> {
        rest.get(from..from + length).map(|glyphs| glyphs.iter().map(|glyph| glyph.char).collect())
    };
    let number = |digits: &str, base| u32::from_str_radix(digits, base).ok().and_then(char::from_u32);
    match rest.first()?.char {
        '\\' => match rest.get(1)?.char {
            'u' => Some((number(&text(2, 4)?, 16)?, 6)),
            'x' => Some((number(&text(2, 2)?, 16)?, 4)),
            c @ ('/' | '"' | '\\') => Some((c, 2)),
            _ => None,
        },
        '%' => Some((number(&text(1, 2)?, 16)?, 3)),
        '&' => {
            let length = rest.iter().take(10).position(|glyph| glyph.char == ';')?;
            let name = text(1, length - 1)?;
            let char = match name.as_str() {
                "amp" => '&',
                "lt" => '<',
                "gt" => '>',
                "quot" => '"',
                "apos" => '\'',
                other => {
                    let digits = other.strip_prefix('#')?;
                    match digits.strip_prefix(['x', 'X']) {
                        Some(hex) => number(hex, 16)?,
                        None => number(digits, 10)?,
                    }
                }
            };
            Some((char, length + 1))
        }
        _ => None,
    }
}

fn merged(mut found: Vec<(usize, usize)>) -> Vec<(usize, usize)> {
    found.sort_unstable();
    let mut out: Vec<(usize, usize)> = Vec::new();
    for (from, to) in found {
        match out.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => out.push((from, to)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    #[test]
    fn every_form_of_a_secret_is_found() {
        let secret = "KEY-mark/er_7+token";
        let escaped = |form: fn(u8) -> String| secret.bytes().map(form).collect::<String>();
        let mut texts = vec![
            secret.to_owned(),
            secret.to_uppercase(),
            secret.replace('/', "\\/"),
            secret.replace('k', "\\u006b"),
            secret.replace('k', "\\u006B"),
            escaped(|byte| format!("\\u{byte:04x}")),
            escaped(|byte| format!("%{byte:02X}")),
            escaped(|byte| format!("%25{byte:02x}")),
            escaped(|byte| format!("&#{byte};")),
            escaped(|byte| format!("&#x{byte:x};")),
            escaped(|byte| format!("\\\\u{byte:04x}")),
            secret.replace("er_", "er_\u{200b}"),
            secret.replace("er_", "er_\n  "),
            hex::encode(secret),
            hex::encode_upper(secret),
        ];
        for before in ["", "a", "ab", "abc", "api:"] {
            for after in ["", ":", ":x", ":xy"] {
                texts.push(STANDARD.encode(format!("{before}{secret}{after}")));
                texts.push(URL_SAFE.encode(format!("{before}{secret}{after}")));
            }
        }
        for text in texts {
            assert!(holds(&format!("before {text} after"), &[secret]), "{text}");
            assert!(!holds(&format!("before {text} after"), &["another-secret"]), "{text}");
        }
        for text in ["271828", "271-828", "2 7 1 8 2 8", "MjcxODI4", "ACode: \\u003271828"] {
            assert!(holds(text, &["271828"]), "{text}");
        }
    }

    #[test]
    fn odd_texts_are_no_trouble() {
        for text in
            ["", "%", "%4", "\\", "\\u", "\\u00", "\\ud800", "&", "&#", "&;", "&#x110000;", "é%C3%A9", "\u{202e}"]
        {
            assert!(!holds(text, &["secret", "", "abc"]), "{text}");
        }
        assert_eq!(spans("a secretsecret b secret", &["secret", "cretse"]), [(2, 14), (17, 23)]);
    }
}
