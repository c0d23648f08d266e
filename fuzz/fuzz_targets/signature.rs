//! Any headers through the parser of Meta's signature (src/router/signature.rs).
//!
//! Must hold: no panic; exactly one header of `sha256=` and 64 hex digits in either case is taken; what is taken is the
//! signature of a body only if it is that body's; the reason of a refusal is the right one.
#![no_main]
#![allow(dead_code)]

use libfuzzer_sys::fuzz_target;

#[path = "../../src/router/signature.rs"]
mod signature;

use signature::{Signature, Unsigned, sign};

const BODY: &[u8] = br#"{"object":"whatsapp_business_account","entry":[]}"#;

fuzz_target!(|data: &[u8]| {
    // A line is a header; what stands before the first line's end is none.
    let headers: Vec<&[u8]> = data.split(|c| *c == b'\n').skip(1).collect();
    let parsed = Signature::parse(headers.iter().copied());
    let header = match headers.as_slice() {
        [] => return assert_eq!(parsed, Err(Unsigned::Missing)),
        [header] => *header,
        _ => return assert_eq!(parsed, Err(Unsigned::Several)),
    };
    let good = header.len() == 71 && header.starts_with(b"sha256=") && header[7..].iter().all(u8::is_ascii_hexdigit);
    let Ok(signature) = parsed else {
        assert!(!good, "refused: {header:?}");
        return assert_eq!(parsed, Err(Unsigned::Form));
    };
    assert!(good, "taken: {header:?}");
    let lower = header.to_ascii_lowercase();
    let upper = [b"sha256=".as_slice(), &header[7..].to_ascii_uppercase()].concat();
    for same in [&lower, &upper] {
        assert_eq!(Signature::parse([same.as_slice()].into_iter()), Ok(signature), "another in other case: {header:?}");
    }
    let secret = "test_app_secret".into();
    assert_eq!(signature.matches(&secret, BODY), lower == sign(&secret, BODY).as_bytes(), "{header:?}");
    assert!(!signature.matches(&secret, data), "a signature within what it signs: {header:?}");
});
