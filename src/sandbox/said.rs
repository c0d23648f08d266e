//! What a calling party's TeXML document says: texts and silences, in order. Pure.
//!
//! Decides only what `<Say>` (with its `loop`), `<Pause>` and `<Hangup>` do; any other verb is an error, as the sandbox can't
//! play it. What the called side hears of it is speech.rs.

/// A part of what is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Words.
    Say(String),
    /// Silence, in milliseconds.
    Pause(u64),
}

/// No document says more.
const MOST: usize = 100;

/// The parts of a document.
pub fn parts(document: &str) -> Result<Vec<Part>, String> {
    let tree =
        roxmltree::Document::parse(document.trim_start()).map_err(|error| format!("Texml is not XML: {error}"))?;
    let root = tree.root_element();
    if root.tag_name().name() != "Response" {
        return Err("The root element of Texml must be Response.".to_owned());
    }
    let mut parts = Vec::new();
    for verb in root.children().filter(roxmltree::Node::is_element) {
        let number =
            |name: &str, default: u64| verb.attribute(name).map_or(Some(default), |text| text.trim().parse().ok());
        match verb.tag_name().name() {
            "Say" => {
                let text: String = verb.descendants().filter_map(|node| node.is_text().then(|| node.text())?).collect();
                let times = number("loop", 1).ok_or("loop must be a whole number.")?;
                parts.extend((0..times.min(10)).map(|_| Part::Say(text.trim().to_owned())));
            }
            "Pause" => parts.push(Part::Pause(number("length", 1).ok_or("length must be a whole number.")? * 1_000)),
            "Hangup" => break,
            other => return Err(format!("The sandbox can't say <{other}>.")),
        }
        if parts.len() > MOST {
            return Err("Texml says too much.".to_owned());
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_silences_and_the_end() {
        let document = r#"<?xml version="1.0"?><Response><Say loop="2">Code is 1, 2.</Say><Pause length="3"/><Pause/>
            <Hangup/><Say>never</Say></Response>"#;
        let say = || Part::Say("Code is 1, 2.".to_owned());
        assert_eq!(parts(document).unwrap(), [say(), say(), Part::Pause(3_000), Part::Pause(1_000)]);
        for broken in
            ["", "<html/>", "<Response><Dial>1</Dial></Response>", r#"<Response><Pause length="x"/></Response>"#]
        {
            assert!(parts(broken).is_err(), "{broken}");
        }
    }
}
