//! No secret, code, PIN or candidate's data outside its place: texts are searched for every marker, plain and inside
//! base64, whatever stands before it there. Every suite that runs our programs can search their logs.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::world::{ACCESS_TOKEN, APP_SECRET, JWT_SECRET, TELNYX_KEY, VERIFY_TOKEN, World};

/// What may be seen nowhere: a name for the report, and the text.
pub type Markers = BTreeMap<String, String>;
/// Where it may not be seen: a name for the report, and the text.
pub type Places = BTreeMap<String, String>;

/// The places where a marker was found.
pub fn search(places: &Places, markers: &Markers) -> Vec<String> {
    let mut found = Vec::new();
    for (what, marker) in markers {
        let code = marker.len() == 6 && marker.bytes().all(|c| c.is_ascii_digit());
        let encoded = if code { Vec::new() } else { inside_base64(marker) };
        for (place, text) in places {
            // A code of six digits also occurs inside longer numbers, which it is not.
            let plain = if code { alone(text, marker) } else { text.contains(marker.as_str()) };
            if plain || encoded.iter().any(|form| text.contains(form.as_str())) {
                found.push(format!("{what} in {place}"));
            }
        }
    }
    found
}

/// The letters that base64 has for these bytes alone, for each of the three places in a group where they may begin: a
/// candidate's phone inside a wamid, a key inside a header.
pub fn inside_base64(text: &str) -> Vec<String> {
    let encoded = |before: usize| {
        let bytes: Vec<u8> = std::iter::repeat_n(0, before).chain(text.bytes()).collect();
        let all = base64::engine::general_purpose::STANDARD_NO_PAD.encode(&bytes);
        // Letters that hold bits of what stands before or after are no sign of it.
        let (from, to) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
        all[from..to].to_owned()
    };
    (0..3).map(encoded).collect()
}

/// Whether the digits stand alone, not inside a longer number or an id, and not as a fraction of a second.
fn alone(text: &str, digits: &str) -> bool {
    text.match_indices(digits).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + digits.len()..].chars().next();
        let part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '-');
        !part(before) && before != Some('.') && !part(after)
    })
}

/// What a world's secrets are now: tokens, the PINs that have not been deleted, all codes.
pub async fn secrets(world: &World) -> Result<Markers> {
    let mut markers = Markers::new();
    for (what, text) in [
        ("the Telnyx key", TELNYX_KEY),
        ("the Meta token", ACCESS_TOKEN),
        ("the app secret", APP_SECRET),
        ("the verify token", VERIFY_TOKEN),
        ("the JWT secret", JWT_SECRET),
    ] {
        markers.insert(what.into(), text.into());
    }
    markers.extend(pins(world).await?);
    let recordings = world.sandbox.get("/recordings").await?;
    for recording in recordings["recordings"].as_array().context("no recordings")? {
        let heard = recording["heard"].as_str().unwrap_or_default();
        if let clientnumber::code::transcript::Reading::Code { code, .. } = clientnumber::code::transcript::read(heard)
        {
            markers.insert(format!("a code (spoken, {})", recording["id"]), code.expose().to_owned());
        }
    }
    let codes = world.sandbox.get("/codes?all=1").await?;
    for (n, code) in codes["codes"].as_array().into_iter().flatten().enumerate() {
        if let Some(code) = code["code"].as_str() {
            markers.insert(format!("a code ({n})"), code.to_owned());
        }
    }
    Ok(markers)
}

/// The PINs of all lines, by their Secrets.
pub async fn pins(world: &World) -> Result<Markers> {
    let mut pins = Markers::new();
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.platform);
    for secret in secrets.list(&ListParams::default()).await?.items {
        if let Some(pin) = secret.data.as_ref().and_then(|d| d.get("pin")) {
            pins.insert(format!("a PIN ({})", secret.name_any()), String::from_utf8(pin.0.clone())?);
        }
    }
    Ok(pins)
}

/// The logs of all controllers and routers of a world.
pub fn logs(world: &World) -> Result<Places> {
    let mut places = Places::new();
    for entry in std::fs::read_dir(world.dir())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".log") && (name.starts_with("controller") || name.starts_with("router")) {
            let bytes = std::fs::read(world.dir().join(&name)).with_context(|| format!("{name} can't be read"))?;
            places.insert(name, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    let controllers: usize = places.iter().filter(|(n, _)| n.starts_with("controller")).map(|(_, log)| log.len()).sum();
    ensure!(controllers > 1000, "the controllers' logs hold {controllers} bytes: there is nothing to search");
    Ok(places)
}

/// Nothing of a world's secrets is in the logs of our programs. `more`: what was a secret and is gone.
pub async fn none_in_logs(world: &World, more: &Markers) -> Result<()> {
    let mut markers = secrets(world).await?;
    markers.extend(more.clone());
    for kind in ["a code", "a PIN"] {
        ensure!(markers.keys().any(|k| k.starts_with(kind)), "no marker for {kind}: {:?}", markers.keys());
    }
    let mut places = logs(world)?;
    let found = search(&places, &markers);
    ensure!(found.is_empty(), "leaks: {found:#?}");
    // The search can fail.
    for (name, text) in &mut places {
        *text += &markers.values().map(|marker| format!(" value={marker}\n")).collect::<String>();
        let planted = search(&Places::from([(name.clone(), std::mem::take(text))]), &markers);
        ensure!(planted.len() == markers.len(), "planted were {}, found: {planted:?}", markers.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_inside_base64_wherever_it_begins() {
        let markers = Markers::from([("phone".to_owned(), "212677001122".to_owned())]);
        for before in ["", "x", "xy", "xyz"] {
            for after in ["", "1", "\u{15}\u{2}"] {
                let text = base64::engine::general_purpose::STANDARD.encode(format!("{before}212677001122{after}"));
                let places = Places::from([("log".to_owned(), format!("id=wamid.{text}"))]);
                assert_eq!(search(&places, &markers).len(), 1, "{before:?} {after:?}");
            }
        }
        let other = base64::engine::general_purpose::STANDARD.encode("x212677001133");
        assert!(search(&Places::from([("log".to_owned(), other)]), &markers).is_empty());
    }

    #[test]
    fn a_code_stands_alone() {
        let found = |text: &str| {
            let places = Places::from([("log".to_owned(), text.to_owned())]);
            search(&places, &Markers::from([("code".to_owned(), "123456".to_owned())])).len()
        };
        for text in ["code=123456", "\"123456\"", "123456"] {
            assert_eq!(found(text), 1, "{text}");
        }
        for text in ["1234567", "a123456", "0.123456", "123456-7", "654321"] {
            assert_eq!(found(text), 0, "{text}");
        }
    }
}
