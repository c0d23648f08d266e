//! What the demo shows: headings, short lines, a command to copy. Colours only on a terminal, and not with NO_COLOR.
//!
//! Must never print a secret or a code: what a person types is shown masked.

use std::io::IsTerminal;
use std::sync::LazyLock;

static COLOURS: LazyLock<bool> =
    LazyLock::new(|| std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()));

fn paint(code: &str, text: &str) -> String {
    if *COLOURS { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// Bold.
pub fn bold(text: &str) -> String {
    paint("1", text)
}

/// Good news.
pub fn green(text: &str) -> String {
    paint("32", text)
}

/// Bad news.
pub fn red(text: &str) -> String {
    paint("31", text)
}

/// Of less importance.
pub fn dim(text: &str) -> String {
    paint("2", text)
}

/// A part of the demo begins.
pub fn heading(text: &str) {
    println!("\n{}", bold(&format!("== {text}")));
}

/// One line.
pub fn say(text: &str) {
    println!("  {text}");
}

/// Something to type, with what it is for.
pub fn command(what: &str, text: &str) {
    println!("  {what}");
    println!("    {}", bold(text));
}
