//! No secret, code, PIN or candidate's data outside its place: all logs at trace, events, status and /metrics of a run
//! are searched for every marker, plain and as base64. The search itself is shown to find a planted leak of each kind.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use crate::support::world::{ACCESS_TOKEN, APP_SECRET, JWT_SECRET, TELNYX_KEY, VERIFY_TOKEN};
use crate::support::{ControlPlane, World};

/// What may be seen nowhere: a name for the report, and the text.
pub type Markers = BTreeMap<String, String>;

/// The places where a marker was found.
pub fn search(places: &BTreeMap<String, String>, markers: &Markers) -> Vec<String> {
    let mut found = Vec::new();
    for (what, marker) in markers {
        let forms = [marker.clone(), base64::engine::general_purpose::STANDARD_NO_PAD.encode(marker)];
        for (place, text) in places {
            for form in &forms {
                // A code of six digits also occurs inside longer numbers, which it is not.
                let hit = if marker.len() == 6 && marker.bytes().all(|c| c.is_ascii_digit()) {
                    form.len() == 6 && alone(text, form)
                } else {
                    text.contains(form.as_str())
                };
                if hit {
                    found.push(format!("{what} in {place}"));
                }
            }
        }
    }
    found
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

/// Searches everything that a run left.
pub async fn nothing_leaks(plane: &ControlPlane, world: &mut World) -> Result<()> {
    let markers = markers(world).await?;
    for kind in ["a code", "a PIN", "the Telnyx key", "a candidate's text", "a candidate's BSUID"] {
        ensure!(markers.keys().any(|k| k.starts_with(kind)), "no marker for {kind}: {:?}", markers.keys());
    }
    let places = places(plane, world).await?;
    for place in
        ["router.log", "controller.log", "status and events", "metrics of the router", "metrics of the controller"]
    {
        ensure!(places.get(place).is_some_and(|text| text.len() > 100), "nothing to search in {place}");
    }
    let found = search(&places, &markers);
    if !found.is_empty() {
        bail!("leaks: {found:#?}");
    }
    // The search can fail: each marker, planted in each place, is found.
    for (what, marker) in &markers {
        for place in places.keys() {
            let mut planted = places.clone();
            planted.insert(place.clone(), format!("{} value={marker} ...", places[place]));
            let found = search(&planted, &Markers::from([(what.clone(), marker.clone())]));
            ensure!(!found.is_empty(), "a planted leak of {what} in {place} was not found");
        }
    }
    Ok(())
}

/// What a world's secrets are.
pub async fn markers(world: &World) -> Result<Markers> {
    let mut markers = Markers::new();
    for (what, text) in [
        ("the Telnyx key", TELNYX_KEY),
        ("the Meta token", ACCESS_TOKEN),
        ("the app secret", APP_SECRET),
        ("the verify token", VERIFY_TOKEN),
        ("the JWT secret", JWT_SECRET),
        ("a candidate's text 1", "marker-body-atlas"),
        ("a candidate's text 2", "marker-body-rif"),
        ("a candidate's name 1", "Amina Zahraoui"),
        ("a candidate's name 2", "Karim Bennani"),
        ("a candidate's BSUID 1", "13491208655302741918"),
        ("a candidate's BSUID 2", "99887766554433221100"),
        ("a candidate's phone", "212677001122"),
    ] {
        markers.insert(what.into(), text.into());
    }
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.platform);
    for secret in secrets.list(&ListParams::default()).await?.items {
        if let Some(pin) = secret.data.as_ref().and_then(|d| d.get("pin")) {
            markers.insert(format!("a PIN ({})", secret.name_any()), String::from_utf8(pin.0.clone())?);
        }
    }
    let recordings = world.sandbox.get("/recordings").await?;
    for recording in recordings["recordings"].as_array().context("no recordings")? {
        let heard = recording["heard"].as_str().unwrap_or_default();
        if let clientnumber::code::transcript::Reading::Code { code, .. } = clientnumber::code::transcript::read(heard)
        {
            markers.insert("a code (spoken)".into(), code.expose().to_owned());
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

/// What can be read of a world.
pub async fn places(plane: &ControlPlane, world: &World) -> Result<BTreeMap<String, String>> {
    let mut places = BTreeMap::new();
    for name in ["router.log", "router-2.log", "controller.log"] {
        let path = world.dir().join(name);
        // Only some worlds have a second router.
        if name == "router-2.log" && !path.exists() {
            continue;
        }
        let bytes = std::fs::read(path).with_context(|| format!("{name} can't be read"))?;
        places.insert(name.to_owned(), String::from_utf8_lossy(&bytes).into_owned());
    }
    let mut objects = String::new();
    for namespace in [world.platform.clone(), world.clients.clone()] {
        for kind in ["clientnumbers", "portfolios", "events"] {
            objects += &plane.kubectl(["get", kind, "-n", &namespace, "-o", "json"]).await?;
        }
    }
    places.insert("status and events".into(), objects);
    let http = reqwest::Client::builder().no_proxy().build()?;
    for (name, address) in [("router", &world.router_admin), ("controller", &world.controller_admin)] {
        let text = http.get(format!("{address}/metrics")).send().await?.error_for_status()?.text().await?;
        places.insert(format!("metrics of the {name}"), text);
    }
    Ok(places)
}
