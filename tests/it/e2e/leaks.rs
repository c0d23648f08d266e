//! All logs at trace, events, status and /metrics of a run are searched for every secret, code, PIN and piece of a
//! candidate's data. The search itself is shown to find a planted leak of each kind.

use anyhow::{Context, Result, bail, ensure};

use crate::support::leaks::{Markers, Places, logs, search, secrets};
use crate::support::{ControlPlane, World};

/// Searches everything that a run left. `wamids`: the ids of the messages that candidates wrote.
pub async fn nothing_leaks(plane: &ControlPlane, world: &World, wamids: &[String]) -> Result<()> {
    let mut markers = secrets(world).await?;
    markers.extend(candidates(wamids)?);
    for kind in ["a code", "a PIN", "the Telnyx key", "a candidate's text", "a candidate's BSUID", "a wamid"] {
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
            let planted = Places::from([(place.clone(), format!("{} value={marker} ...", places[place]))]);
            let found = search(&planted, &Markers::from([(what.clone(), marker.clone())]));
            ensure!(!found.is_empty(), "a planted leak of {what} in {place} was not found");
        }
    }
    Ok(())
}

/// What is known of the candidates who wrote.
fn candidates(wamids: &[String]) -> Result<Markers> {
    let mut markers = Markers::new();
    for (what, text) in [
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
    for (n, wamid) in wamids.iter().enumerate() {
        // Without its prefix: it must not be seen in that form either.
        let id = wamid.strip_prefix("wamid.").with_context(|| format!("{wamid} is no wamid"))?;
        markers.insert(format!("a wamid ({n})"), id.trim_end_matches('=').to_owned());
    }
    Ok(markers)
}

/// What can be read of a world.
pub async fn places(plane: &ControlPlane, world: &World) -> Result<Places> {
    let mut places = logs(world)?;
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
