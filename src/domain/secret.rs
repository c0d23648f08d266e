//! Codes and PINs. They have no `Debug` at all, so that a value which holds one can't be printed by accident; they leave
//! the process only in the one request that needs them.

use secrecy::{ExposeSecret, SecretString};

use super::Invalid;

fn six_digits(text: &str) -> bool {
    text.len() == 6 && text.bytes().all(|c| c.is_ascii_digit())
}

/// Meta's six-digit verification code. Single use, good for about 10 minutes.
#[derive(Clone)]
pub struct OtpCode(SecretString);

impl OtpCode {
    /// Six digits; one hyphen or space in the middle is allowed, since SMS writes `123-456`. The error never quotes
    /// the text.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        let digits: String = match text.as_bytes() {
            [_, _, _, b'-' | b' ', _, _, _] => text[..3].to_owned() + &text[4..],
            _ => text.to_owned(),
        };
        if six_digits(&digits) {
            Ok(Self(digits.into()))
        } else {
            Err(Invalid::new(
                "verification code",
                "***",
                "give the six digits as they were heard, for example 123456 or 123-456",
            ))
        }
    }

    /// The digits, for the one request that hands them in.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl PartialEq for OtpCode {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

/// The two-step verification PIN of a line: six digits, kept in a Secret, written there before the first register.
#[derive(Clone)]
pub struct Pin(SecretString);

impl Pin {
    /// Six digits. The error never quotes the text.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if six_digits(text.trim()) {
            Ok(Self(text.trim().to_owned().into()))
        } else {
            Err(Invalid::new(
                "PIN",
                "***",
                "a PIN is six digits; restore the Secret or set a new PIN in WhatsApp Manager",
            ))
        }
    }

    /// A random PIN.
    pub fn random(rng: &mut impl rand::RngExt) -> Self {
        Self(format!("{:06}", rng.random_range(0..1_000_000u32)).into())
    }

    /// The digits, for the Secret and the one request that needs them.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes() {
        for good in ["123456", " 123456\n", "123-456", "123 456"] {
            assert!(OtpCode::parse(good).is_ok_and(|c| c.expose() == "123456"), "{good}");
        }
        for bad in ["", "98765", "9876543", "98-7654", "abcdef", "١٢٣٤٥٦"] {
            let Err(error) = OtpCode::parse(bad) else { panic!("{bad}") };
            assert!(bad.is_empty() || !error.to_string().contains(bad));
        }
    }
}
