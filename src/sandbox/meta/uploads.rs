//! The resumable upload: a session of the app, the bytes, a handle that a profile can name.
//!
//! Meta: the session's id carries a signature as a query; the bytes go to it with `file_offset` and the authorization
//! scheme `OAuth`; the handle is good for what was uploaded only.

use serde_json::json;

use super::{errors, text};
use crate::sandbox::http::Response;
use crate::sandbox::world::{Answer, Ctx, World};

/// A session.
#[derive(Debug, Clone)]
pub struct Upload {
    /// `upload:...`, without the signature.
    pub id: String,
    /// The signature that must come with it.
    pub signature: String,
    /// Bytes announced.
    pub length: usize,
    /// Bytes there.
    pub received: usize,
    /// The handle, once all is there.
    pub handle: Option<String>,
}

const TYPES: [&str; 5] = ["application/pdf", "image/jpeg", "image/jpg", "image/png", "video/mp4"];

/// POST /{app}/uploads
pub fn open(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let params = ctx.req.params();
    let length = text(&params, "file_length").and_then(|length| length.parse::<usize>().ok()).filter(|n| *n > 0);
    let Some(length) = length else { return Err(errors::invalid("Param file_length must be a positive integer")) };
    if !text(&params, "file_type").is_some_and(|kind| TYPES.contains(&kind.as_str())) {
        return Err(errors::invalid(&format!("Param file_type must be one of {{{}}}", TYPES.join(", "))));
    }
    // The file is all that a session is about: two sessions for equal files are interchangeable.
    let named = text(&params, "file_name").unwrap_or_default();
    let id = format!("upload:{}", world.uuid_of("meta.upload", &format!("{named} {length}")).replace('-', ""));
    let signature = world.uuid_of("meta.upload_signature", &id).replace('-', "");
    let shown = format!("{id}?sig={signature}");
    world.meta.uploads.push(Upload { id, signature, length, received: 0, handle: None });
    Ok(Response::json(200, &json!({ "id": shown })))
}

/// POST /upload:...
pub fn send(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let req = ctx.req;
    let oauth = req.header("authorization").is_some_and(|value| value.starts_with("OAuth "));
    let signed = req.query("sig").unwrap_or("");
    let upload = world.meta.uploads.iter_mut().find(|upload| upload.id == ctx.param(0) && upload.signature == signed);
    let Some(upload) = upload else { return Err(errors::no_such_object(ctx.param(0))) };
    if !oauth {
        return Err(errors::invalid("The upload needs the authorization scheme OAuth"));
    }
    let offset = req.header("file_offset").and_then(|offset| offset.parse::<usize>().ok());
    if offset != Some(upload.received) {
        return Err(errors::invalid(&format!("The header file_offset must be {}", upload.received)));
    }
    if upload.received + req.body.len() > upload.length {
        return Err(errors::invalid("More bytes than file_length were sent"));
    }
    upload.received += req.body.len();
    if upload.received < upload.length {
        return Ok(Response::json(200, &json!({"id": upload.id, "file_offset": upload.received})));
    }
    let handle = format!("4:{}", world.dice.uuid("meta.handle", &upload.id).replace('-', ""));
    upload.handle = Some(handle.clone());
    Ok(Response::json(200, &json!({ "h": handle })))
}

#[cfg(test)]
mod tests {
    use hyper::body::Bytes;
    use serde_json::{Value, json};

    use crate::sandbox::http::{Request, pairs};
    use crate::sandbox::meta;
    use crate::sandbox::testing::Asked;

    fn send(asked: &mut Asked, id: &str, scheme: &str, offset: &str, body: &'static [u8]) -> Value {
        let (path, query) = id.split_once('?').unwrap_or((id, ""));
        let request = Request {
            method: "POST".into(),
            path: format!("/v25.0/{path}"),
            query: pairs(query),
            headers: vec![
                ("authorization".into(), format!("{scheme} key")),
                ("file_offset".into(), offset.into()),
                ("content-type".into(), "image/png".into()),
            ],
            body: Bytes::from_static(body),
        };
        let answer = meta::answer(&mut asked.world, &request, asked.now);
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    #[test]
    fn bytes_make_a_handle_and_only_that_is_a_photo() {
        let mut asked = Asked::new();
        let number = asked.line("612345678");
        for bad in ["file_length=0&file_type=image/png", "file_length=4", "file_length=4&file_type=text/html"] {
            assert_eq!(asked.meta_error("POST", &format!("/v25.0/7700/uploads?{bad}"), json!(null)), (100, 0), "{bad}");
        }
        assert_eq!(asked.meta_error("POST", "/v25.0/7701/uploads", json!(null)), (100, 33));
        let open = "/v25.0/7700/uploads?file_name=a.png&file_length=8&file_type=image/png";
        let id = asked.meta("POST", open, json!(null)).1["id"].as_str().expect("an id").to_owned();
        let unsigned = id.split('?').next().unwrap_or("").to_owned();
        assert_eq!(send(&mut asked, &unsigned, "OAuth", "0", b"12345678")["error"]["error_subcode"], 33);
        assert_eq!(send(&mut asked, &id, "Bearer", "0", b"12345678")["error"]["code"], 100);
        assert_eq!(send(&mut asked, &id, "OAuth", "3", b"12345678")["error"]["code"], 100);
        assert_eq!(send(&mut asked, &id, "OAuth", "0", b"1234")["file_offset"], 4);
        assert_eq!(send(&mut asked, &id, "OAuth", "4", b"123456")["error"]["code"], 100);
        let handle = send(&mut asked, &id, "OAuth", "4", b"5678")["h"].as_str().expect("a handle").to_owned();

        let profile = format!("/v25.0/{number}/whatsapp_business_profile");
        let photo = |handle: &str| json!({"messaging_product": "whatsapp", "profile_picture_handle": handle});
        assert_eq!(asked.meta_error("POST", &profile, photo("4:made-up")), (100, 0));
        assert_eq!(asked.meta_error("POST", &profile, photo(&handle)), (0, 0));
        let (_, answer) = asked.meta("GET", &format!("{profile}?fields=profile_picture_url"), json!(null));
        assert!(answer["data"][0]["profile_picture_url"].is_string(), "{answer}");
    }
}
