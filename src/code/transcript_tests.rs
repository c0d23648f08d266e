use super::*;
use crate::code::noise;

fn form(text: &str) -> Result<(String, Form), Refusal> {
    match read(text) {
        Reading::Code { code, source } => Ok((code.expose().to_owned(), source)),
        Reading::None(refusal) => Err(refusal),
    }
}

/// Where a form comes from. Meta documents no wording; two are quoted in public reports, the rest is made up.
#[derive(Clone, Copy)]
enum Origin {
    Reported,
    Invented,
}
use Form::{Digits, Mixed, Words};
use Origin::{Invented, Reported};

/// All of these say 123456.
const READ: &[(Origin, &str, Form)] = &[
    // as public reports quote them
    (Reported, "Verification code is 123456", Digits),
    (Reported, "Verification code is 123456. Verification code is 123456. Verification code is 123456.", Digits),
    (Reported, "WhatsApp code 123-456", Digits),
    // one reading
    (Invented, "123456", Digits),
    (Invented, "123-456", Digits),
    (Invented, "123 456", Digits),
    (Invented, "1 2 3 4 5 6", Digits),
    (Invented, "1-2-3-4-5-6", Digits),
    (Invented, "1, 2, 3, 4, 5, 6.", Digits),
    (Invented, "1. 2. 3. 4. 5. 6.", Digits),
    (Invented, "123,456", Digits),
    (Invented, "12 34 56", Digits),
    (Invented, "one two three four five six", Words),
    (Invented, "One, two, three, four, five, six.", Words),
    (Invented, "ONE TWO THREE FOUR FIVE SIX", Words),
    (Invented, "one-two-three-four-five-six", Words),
    (Invented, "twelve thirty-four fifty-six", Words),
    (Invented, "Your code is one 2 three 4 five 6.", Mixed),
    (Invented, "Your code is: 123456.", Digits),
    (Invented, "Your code: 123456", Digits),
    (Invented, "The code is\n123456", Digits),
    (Invented, "Your verification code. 123456.", Digits),
    (Invented, "Your six digit code is 123456.", Digits),
    (Invented, "Your 6-digit code is 123456.", Digits),
    (Invented, "Your one-time password is 123456.", Digits),
    (Invented, "Your WhatsApp Business code for Atlas Logistics is 1 2 3 4 5 6.", Digits),
    (Invented, "code is one two three, dash, four five six", Words),
    (Invented, "code is one two three uh four five and six", Words),
    (Invented, "your code is 1 2 3, 4 5 6", Digits),
    (Invented, "your code is 123 – 456", Digits),
    // words heard for others
    (Invented, "verification code is one to three four five six", Words),
    (Invented, "verification code is one too three for five six", Words),
    (Invented, "verification code is won two tree four fife sex", Words),
    (Invented, "verification code is 1 to 3 for 5 6", Mixed),
    (Invented, "your verification coat is one two three four five six", Words),
    (Invented, "your verification code his one two three four five six", Words),
    (Invented, "code is won to tree for fife sex", Words),
    (Invented, "quote is one two three four five sicks.", Words),
    (Invented, "code is oneself, I mean code is 1 2 3 4 5 6", Digits),
    (Invented, "verification code is, one two three four five six, thank you", Words),
    (Invented, "Your OTP is 123456", Digits),
    (Invented, "Your WhatsApp Business verification code is 12-34-56", Digits),
    (Invented, "WhatsApp verification code 1 2 3 4 5 6", Digits),
    (Invented, "The code was 123456", Digits),
    (Invented, "[music] your code is \"123456\"", Digits),
    // said again
    (Invented, "123456 123456 123456", Digits),
    (Invented, "123456. 123456. 123456.", Digits),
    (Invented, "123-456. 123-456.", Digits),
    (Invented, "1 2 3 4 5 6. 1 2 3 4 5 6. 1 2 3 4 5 6.", Digits),
    (Invented, "1 2 3 4 5 6, 1 2 3 4 5 6, 1 2 3 4 5 6", Digits),
    (Invented, "1 2 3 4 5 6 1 2 3 4 5 6 1 2 3 4 5 6", Digits),
    (Invented, "code is 1 2 3 4 5 6 1 2 3 4 5 6", Digits),
    (Invented, "one two three four five six. one two three four five six.", Words),
    (Invented, "Your code is 123456. Again, 1 2 3 4 5 6.", Digits),
    (Invented, "Your code is 123456. I repeat, one two three four five six.", Digits),
    (Invented, "Your code is 123456, once again your code is 123-456. Goodbye.", Digits),
    (Invented, "Again 1 2 3 4 5 6.", Digits),
    (Invented, "Your code is 123-456, your code is 123-456, your code is 123-456", Digits),
    (Invented, "code is 1 2 3 4 5 6 code is 1 2 3 4 5 6 code is 1 2 3 4 5 6", Digits),
    (Invented, "code is one two three four five six again one two three four five six", Words),
    // cut off
    (Invented, "456. Verification code is 123456.", Digits),
    (Invented, "4 5 6. 1 2 3 4 5 6. 1 2 3 4 5 6.", Digits),
    (Invented, "six. Your code is one two three four five six. Your code is one two three four five six.", Words),
    (Invented, "code is 4 5 6. Verification code is 123456", Digits),
    (Invented, "tion code is 123456. Verification code is 123456.", Digits),
    (Invented, "Verification code is 123456. Verification code is 123", Digits),
    (Invented, "Verification code is 123456. Verification co", Digits),
    (Invented, "Verification code is 1 2 banana 4 5 6. Verification code is 1 2 3 4 5 6.", Digits),
    // other numbers
    (Invented, "For English press 1. Your code is 123456.", Digits),
    (Invented, "For English press one. Your code is one two three four five six.", Words),
    (Invented, "Your code is 123456. It expires in 10 minutes.", Digits),
    (Invented, "Your code is 123456. It is valid for ten minutes.", Digits),
    (Invented, "This message is repeated 3 times. Your code is 123456.", Digits),
    (Invented, "Your code is 123456. For help call +1 650 555 0100.", Digits),
    (Invented, "This call is 1 of 3. Your code is 123456.", Digits),
    (Invented, "It is 10:30. Your code is 123456. We are here 24/7.", Digits),
    (Invented, "Your code is 123456. Do not share it with any one.", Digits),
    (Invented, "Your code is 123456. To hear it again, press 1.", Digits),
    (Invented, "Your code is 1 2 3 4 5 6 for your business account.", Digits),
    (Invented, "This is the 3rd call. Your code is 123456.", Digits),
];

/// None of these may be read. What they hide is 123456 or nothing.
const REFUSED: &[(&str, Refusal)] = &[
    ("", Refusal::NoDigits),
    ("   \n", Refusal::NoDigits),
    ("Hello? Hello?", Refusal::NoDigits),
    ("Sorry, an application error has occurred. Goodbye.", Refusal::NoDigits),
    ("for to", Refusal::NoDigits),
    ("to too for ate oh won", Refusal::NotAnnounced),
    ("Your code is for to oh for to for", Refusal::NotAnnounced),
    ("ate fife to sven free tree. code is 857736", Refusal::Ambiguous),
    ("Your code is", Refusal::NoDigits),
    ("Your code expires in 10 minutes", Refusal::NoDigits),
    ("١٢٣٤٥٦", Refusal::NoDigits),
    ("Votre code est un deux trois quatre cinq six", Refusal::NoDigits),
    ("Call +212 612 345 678", Refusal::NoDigits),
    ("code is a1b2c3", Refusal::NoDigits),
    ("code is 12:34:56", Refusal::NoDigits),
    ("code is 1 2 3 4 5", Refusal::TooFewDigits),
    ("code is 1 2 3", Refusal::TooFewDigits),
    ("Your code is 1 2 3 banana 4 5 6", Refusal::TooFewDigits),
    ("4 5 6. Your code is 1 2 3", Refusal::TooFewDigits),
    ("code is 1 2 3 4 5 to your phone", Refusal::TooFewDigits),
    ("code is 1 2 3 4 5 6 minutes", Refusal::TooFewDigits),
    ("code is 1 2 3 4 5 6 7", Refusal::TooManyDigits),
    ("code is 1234567", Refusal::TooManyDigits),
    ("code is one two three four five six hundred", Refusal::TooManyDigits),
    ("code is 1 2 3 4 6 1 2 3 4 5 6", Refusal::TooManyDigits),
    ("code is 1 1 1 1 2 1 1 1 1 1 2", Refusal::TooManyDigits), // 111112 with one 1 lost: read greedily, 111121
    ("3 4 5 6 1 2 3 4 5 6 1 2", Refusal::TooManyDigits),       // cut at both ends: read greedily, 345612
    ("4 5 6. 1 2 3", Refusal::TooManyDigits),                  // likewise, 456123
    ("code is 4 5 6. 1 2 3", Refusal::TooManyDigits),
    ("code is 12345678", Refusal::TooManyDigits),
    ("code is 123 456 7", Refusal::TooManyDigits),
    ("code is one two three four five six seven eight", Refusal::TooManyDigits),
    ("code is 123456. code is 123457.", Refusal::Ambiguous),
    ("code is 123456. code is 654321. code is 123456.", Refusal::Ambiguous),
    ("1 2 3 4 5 7. code is 123456", Refusal::Ambiguous),
    ("123456. 123457. 123456.", Refusal::TooManyDigits),
    ("code is 123456. Again, 123456. Again, 124356.", Refusal::Ambiguous),
    ("code is 123456. code is 1 2 4", Refusal::Ambiguous),
    ("code is 123456. code is 1 2 3 3 4 5 6", Refusal::Ambiguous),
    ("Your ticket number is 123456. Your code is 654321.", Refusal::Ambiguous),
    ("We are at house 123456 here", Refusal::NotAnnounced),
    ("Hello 123456", Refusal::NotAnnounced),
    ("banana 4 5 6 1 2 3 banana", Refusal::NotAnnounced),
    ("1 2 3 banana 4 5 6 1 2 3 banana 4 5 6 1 2 3 banana 4 5 6", Refusal::NotAnnounced),
];

#[test]
fn forms_that_are_read() {
    let mut reported = 0;
    for (origin, text, want) in READ {
        assert!(form(text) == Ok(("123456".into(), *want)), "{text}: {:?}", form(text));
        reported += usize::from(matches!(origin, Reported));
    }
    assert!(READ.len() + REFUSED.len() >= 120 && reported == 3);
}

#[test]
fn forms_that_are_refused() {
    for (text, want) in REFUSED {
        assert_eq!(form(text).map(|(code, _)| code), Err(*want), "{text}");
    }
}

#[test]
fn other_codes() {
    for (text, want) in [
        ("code is double five one two triple three", None),
        ("code is double five one triple three", Some("551333")),
        ("code is oh one two three four five", Some("012345")),
        ("code is zero one two three four oh.", Some("012340")),
        ("code is to 3 4 5 6 7", Some("234567")),
        ("code is for for for for four four", Some("444444")),
        ("code is 1 2 3 4 5 too.", Some("123452")),
        ("code is 000000. code is 000000", Some("000000")),
        ("code is 121212 1 2 1 2 1 2", Some("121212")),
        ("2 1 2 1 2 1 2", None),
        ("code is twenty one thirty four fifty six", Some("213456")),
        ("code is twenty twenty one three", Some("202113").filter(|_| false)),
    ] {
        assert_eq!(form(text).ok().map(|(code, _)| code).as_deref(), want, "{text}");
    }
}

/// Half of the seeds are clean: at least 99 % of those are read. Not one of all may be read wrongly.
#[test]
fn noisy_transcripts_are_never_read_wrongly() {
    let seeds: u64 = std::env::var("TRANSCRIPT_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(10_000);
    let (mut clean_read, mut noisy_read) = (0, 0);
    for seed in 0..seeds {
        let made = noise::transcript(seed);
        match form(&made.text) {
            Ok((code, _)) => {
                assert_eq!(code, made.code, "seed {seed}: {}", made.text);
                if seed % 2 == 0 { clean_read += 1 } else { noisy_read += 1 }
            }
            Err(refusal) if seed % 2 == 0 && std::env::var_os("TRANSCRIPT_SHOW").is_some() => {
                println!("{refusal:?} {} | {}", made.code, made.text);
            }
            Err(_) => {}
        }
    }
    let half = seeds / 2;
    println!("read: {clean_read} of {half} clean, {noisy_read} of {half} noisy");
    assert!(clean_read * 100 >= half * 99, "only {clean_read} of {half} clean transcripts were read");
    assert!(noisy_read * 100 >= half * 30, "only {noisy_read} of {half} noisy transcripts were read");
}

/// Whatever bytes a provider sends: an answer, in time that grows with the length.
#[test]
fn any_text_gets_an_answer() {
    use rand::{RngExt, SeedableRng};
    let mut rng = rand::rngs::StdRng::seed_from_u64(7);
    let alphabet: Vec<char> = "0123456789 .,:-+/%$\n'’éß١一\u{202a}\u{0}abcde".chars().collect();
    for _ in 0..3_000 {
        let length = rng.random_range(0..60);
        let text: String = (0..length).map(|_| alphabet[rng.random_range(0..alphabet.len())]).collect();
        let _ = read(&text);
    }
    for long in ["1 ", "double ", "for ", "code is 1 ", "is ", "uh 1 ", "."] {
        assert!(matches!(read(&long.repeat(20_000)), Reading::None(_)), "{long}");
    }
}

#[test]
fn refusals_hold_no_digits() {
    for (text, _) in REFUSED {
        let Reading::None(refusal) = read(text) else { panic!("{text}") };
        assert!(!format!("{refusal:?} {refusal}").contains(|c: char| c.is_ascii_digit()));
    }
}
