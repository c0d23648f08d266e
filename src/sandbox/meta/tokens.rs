//! Access tokens: who may call, and what debug_token says of one.
//!
//! Any token is taken unless it was declared bad. With an app secret configured, a user's token must come with its
//! appsecret_proof = HMAC-SHA256(app secret, token) in lower-case hex; an app's own token (`APP_ID|SECRET`) needs none.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret;
use serde_json::json;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::errors::{self, Refusal};
use super::text;
use crate::sandbox::http::{Request, Response};
use crate::sandbox::world::{Answer, Ctx, World};

/// HMAC-SHA256 in lower-case hex.
pub fn hmac_hex(secret: &str, message: &[u8]) -> String {
    match Hmac::<Sha256>::new_from_slice(secret.as_bytes()) {
        Ok(mut mac) => {
            mac.update(message);
            hex::encode(mac.finalize().into_bytes())
        }
        // HMAC takes keys of any length.
        Err(_) => String::new(),
    }
}

fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

fn expired(subcode: u32) -> Response {
    let reason = if subcode == 463 { "Session has expired." } else { "The session has been invalidated." };
    Refusal::new(190, &format!("Error validating access token: {reason}")).subcode(subcode).status(401).answer()
}

fn token_is_good(world: &World, token: &str) -> bool {
    world.settings.meta.token_valid && !world.settings.meta.bad_tokens.iter().any(|bad| bad == token)
}

/// Whether the request may be answered at all.
///
/// # Errors
/// 104 without a token, 190 for a bad one, 100 for a missing or wrong proof.
pub fn authorise(world: &World, req: &Request) -> Result<(), Response> {
    let params = req.params();
    let oauth = req.header("authorization").and_then(|value| value.strip_prefix("OAuth "));
    let token = req.bearer().or(oauth).map(str::to_owned).or_else(|| text(&params, "access_token"));
    let Some(token) = token.filter(|token| !token.is_empty()) else {
        return Err(Refusal::new(104, "An access token is required to request this resource.").status(401).answer());
    };
    if let Some((_, secret)) = token.split_once('|') {
        let right = world.app_secret.as_ref().is_none_or(|own| same(own.expose_secret(), secret));
        let refused = || Refusal::new(190, "Invalid OAuth access token signature.").status(401).answer();
        return if right { Ok(()) } else { Err(refused()) };
    }
    if !token_is_good(world, &token) {
        return Err(expired(world.settings.meta.token_subcode));
    }
    let Some(secret) = &world.app_secret else { return Ok(()) };
    match text(&params, "appsecret_proof") {
        Some(proof) if same(&proof, &hmac_hex(secret.expose_secret(), token.as_bytes())) => Ok(()),
        Some(_) => Err(errors::invalid("Invalid appsecret_proof provided in the API argument")),
        None if world.settings.meta.require_proof.unwrap_or(true) => {
            Err(errors::invalid("API calls from the server require an appsecret_proof argument"))
        }
        None => Ok(()),
    }
}

/// GET /debug_token
pub fn debug(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let Some(token) = ctx.req.query("input_token").filter(|token| !token.is_empty()) else {
        return Err(errors::invalid("The parameter input_token is required"));
    };
    let meta = &world.settings.meta;
    let good = token_is_good(world, token);
    let scopes: Vec<&String> = if good { meta.token_scopes.iter().collect() } else { Vec::new() };
    let granular: Vec<_> = scopes
        .iter()
        .map(|scope| match scope.as_str() {
            "business_management" => json!({"scope": scope, "target_ids": [meta.business_id]}),
            // Without target_ids: all assets of the business.
            _ if meta.token_wabas.is_empty() => json!({"scope": scope}),
            _ => json!({"scope": scope, "target_ids": meta.token_wabas}),
        })
        .collect();
    let mut data = json!({
        "app_id": meta.app_id, "type": "SYSTEM_USER", "application": "Sandbox", "data_access_expires_at": 0,
        "expires_at": meta.token_expires_at, "is_valid": good, "issued_at": 1_780_000_000, "scopes": scopes,
        "granular_scopes": granular, "user_id": "122100000000000001",
    });
    if !good {
        data["error"] = json!({"code": 190, "subcode": meta.token_subcode, "message": "Error validating access token"});
    }
    Ok(Response::json(200, &json!({ "data": data })))
}
