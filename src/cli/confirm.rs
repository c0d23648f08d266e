//! Asking before something that can't be undone: on a terminal by typing a word, in scripts by a flag.

use std::io::{BufRead, IsTerminal, Write};

use super::Failure;

/// Fails if nobody could answer: without a terminal the flag is needed. `look` says what to look at first.
pub fn possible(yes: bool, look: &str) -> Result<(), Failure> {
    if yes || std::io::stdin().is_terminal() {
        return Ok(());
    }
    Err(Failure::Usage(format!("there is no terminal to confirm on: {look}, then add --yes")))
}

/// Asks on the terminal, unless `yes`; true if the word was typed.
pub fn ask(yes: bool, question: &str, word: &str) -> std::io::Result<bool> {
    if yes { Ok(true) } else { typed(question, word, &mut std::io::stdin().lock(), &mut std::io::stderr()) }
}

fn typed(question: &str, word: &str, input: &mut impl BufRead, output: &mut impl Write) -> std::io::Result<bool> {
    write!(output, "{question}\nGo on? Type {word}: ")?;
    output.flush()?;
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    Ok(answer.trim() == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_word_is_the_word() {
        for (answer, expected) in
            [("atlas\n", true), (" atlas \n", true), ("Atlas\n", false), ("yes\n", false), ("\n", false), ("", false)]
        {
            let mut asked = Vec::new();
            let got = typed("It goes for ever.", "atlas", &mut answer.as_bytes(), &mut asked).unwrap();
            assert_eq!(got, expected, "{answer:?}");
            assert_eq!(String::from_utf8(asked).unwrap(), "It goes for ever.\nGo on? Type atlas: ");
        }
    }
}
