//! Enums whose values belong to a provider: what is not known is kept as text, never refused.
//!
//! Providers' vocabularies drift between their file, their docs and their answers (capitals, hyphens, new words), so
//! matching ignores case and treats `_`, `-` and space alike.

/// True if both are the same word, ignoring case and the kind of separator.
pub(crate) fn same_word(a: &str, b: &str) -> bool {
    let plain = |c: char| if matches!(c, '-' | ' ') { '_' } else { c.to_ascii_lowercase() };
    a.chars().map(plain).eq(b.chars().map(plain))
}

/// Defines an enum of a provider's words: `Variant => "word", "other spelling"`, plus `Unknown(String)`.
macro_rules! open_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident => $word:literal $(, $other:literal)* ;)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)+
            /// A word that this version does not know, as it came.
            Unknown(String),
        }

        impl $name {
            /// From the provider's word.
            pub fn from_word(word: &str) -> Self {
                $(
                    if [$word $(, $other)*].iter().any(|known| $crate::providers::open_enum::same_word(known, word)) {
                        return Self::$variant;
                    }
                )+
                Self::Unknown(word.chars().take(60).collect())
            }

            /// The provider's word.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)+
                    Self::Unknown(word) => word,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <String as serde::Deserialize>::deserialize(deserializer).map(|word| Self::from_word(&word))
            }
        }
    };
}

#[cfg(test)]
mod tests {
    open_enum!(
        /// For the test.
        Colour { /// Red.
            Red => "red", "rouge"; /// Dark blue.
            DarkBlue => "dark-blue"; }
    );

    #[test]
    fn words_and_their_spellings() {
        for (word, want) in [
            ("red", Colour::Red),
            ("ROUGE", Colour::Red),
            ("dark_blue", Colour::DarkBlue),
            ("Dark Blue", Colour::DarkBlue),
            ("mauve", Colour::Unknown("mauve".into())),
        ] {
            assert_eq!(Colour::from_word(word), want, "{word}");
        }
        assert_eq!(Colour::from_word("mauve").as_str(), "mauve");
        assert_eq!(serde_json::from_str::<Colour>("\"RED\"").unwrap(), Colour::Red);
    }
}
