//! Recordings, their transcriptions, their audio, and the speech-to-text that hears it.
//!
//! Telnyx: a transcription exists only if the document asked for one; both appear some time after the call; a download
//! link lives 10 minutes; what was deleted is gone from every answer, but audio fetched before can still be heard.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::calls::in_range;
use super::{audio, data, errors, page, time};
use crate::sandbox::http::{Request, Response, digits};
use crate::sandbox::world::{Answer, Ctx, World};

/// A recorded call.
#[derive(Clone)]
pub struct Recording {
    /// UUID.
    pub id: String,
    /// Caller, E.164.
    pub from: String,
    /// Called number, E.164.
    pub to: String,
    /// Application that recorded.
    pub connection: String,
    /// Call leg and session, UUIDs; the control id is made of the leg.
    pub leg: String,
    /// Call session.
    pub session: String,
    /// single or dual.
    pub channels: String,
    /// wav or mp3.
    pub format: String,
    /// First moment.
    pub started: Timestamp,
    /// Last moment.
    pub ended: Timestamp,
    /// Length of what was recorded, also where time runs faster.
    pub millis: u64,
    /// From when on it is there.
    pub visible: Timestamp,
    /// What can be heard.
    pub text: String,
    /// Gone.
    pub deleted: bool,
    /// What the machine wrote down, if asked to.
    pub transcription: Option<Transcription>,
}

/// A transcription.
#[derive(Clone)]
pub struct Transcription {
    /// UUID.
    pub id: String,
    /// What was understood.
    pub text: String,
    /// From when on it is there, in progress.
    pub visible: Timestamp,
    /// From when on it is completed.
    pub completed: Timestamp,
    /// Gone.
    pub deleted: bool,
}

impl Recording {
    fn is_there(&self, now: Timestamp) -> bool {
        !self.deleted && self.visible <= now
    }

    fn view(&self, world: &World, now: Timestamp) -> Value {
        let expires = now.as_second() + 600;
        let signature = world.dice.uuid("media", &format!("{}/{expires}", self.id));
        let link = format!(
            "{}/v2/media/{}.{}?expires={expires}&signature={signature}",
            world.telnyx_origin, self.id, self.format
        );
        let mut urls = json!({});
        urls[&self.format] = Value::from(link);
        json!({
            "id": self.id, "record_type": "recording", "from": self.from, "to": self.to,
            "call_control_id": format!("v3:{}", self.leg), "call_leg_id": self.leg, "call_session_id": self.session,
            "connection_id": self.connection, "channels": self.channels, "source": "call", "status": "completed",
            "initiated_by": "RecordVerb", "duration_millis": self.millis, "download_urls": urls,
            "recording_started_at": time(self.started), "recording_ended_at": time(self.ended),
            "created_at": time(self.visible), "updated_at": time(self.visible),
        })
    }

    fn transcription_view(&self, now: Timestamp) -> Option<Value> {
        let transcription = self.transcription.as_ref().filter(|t| !t.deleted && t.visible <= now)?;
        let done = transcription.completed <= now;
        Some(json!({
            "id": transcription.id, "record_type": "recording_transcription", "recording_id": self.id,
            "status": if done { "completed" } else { "in-progress" },
            "transcription_text": if done { transcription.text.as_str() } else { "" },
            "duration_millis": self.millis, "created_at": time(transcription.visible),
            "updated_at": time(if done { transcription.completed } else { transcription.visible }),
        }))
    }
}

/// GET /recordings
pub fn list(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let req = ctx.req;
    let same = |name: &str, value: &str| req.filter(name).is_none_or(|wanted| wanted == value);
    let number = |name: &str, value: &str| req.filter(name).is_none_or(|wanted| digits(wanted) == digits(value));
    let found: Vec<Value> = world
        .telnyx
        .recordings
        .iter()
        .rev()
        .filter(|recording| recording.is_there(ctx.now))
        .filter(|recording| number("to", &recording.to) && number("from", &recording.from))
        .filter(|recording| same("connection_id", &recording.connection) && same("call_leg_id", &recording.leg))
        .filter(|recording| same("call_session_id", &recording.session))
        .filter(|recording| same("call_control_id", &format!("v3:{}", recording.leg)))
        .filter(|recording| {
            in_range(req, "created_at", recording.visible)
                && in_range(req, "start_time", recording.started)
                && in_range(req, "end_time", recording.ended)
        })
        .map(|recording| recording.view(world, ctx.now))
        .collect();
    page(req, &found, 250)
}

fn position(world: &World, id: &str, now: Timestamp) -> Result<usize, Response> {
    let found = world.telnyx.recordings.iter().position(|recording| recording.id == id && recording.is_there(now));
    found.ok_or_else(|| errors::not_found("The recording does not exist."))
}

/// GET /recordings/{id}
pub fn get(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let place = position(world, ctx.param(0), ctx.now)?;
    data(200, &world.telnyx.recordings[place].view(world, ctx.now))
}

/// DELETE /recordings/{id}; its transcription stays until it is deleted too.
pub fn delete(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let place = position(world, ctx.param(0), ctx.now)?;
    let view = world.telnyx.recordings[place].view(world, ctx.now);
    world.telnyx.recordings[place].deleted = true;
    data(200, &view)
}

/// GET /recording_transcriptions
pub fn list_transcriptions(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let found: Vec<Value> = world
        .telnyx
        .recordings
        .iter()
        .rev()
        .filter(|recording| ctx.req.filter("recording_id").is_none_or(|id| recording.id == id))
        .filter(|recording| {
            recording.transcription.as_ref().is_some_and(|t| in_range(ctx.req, "created_at", t.visible))
        })
        .filter_map(|recording| recording.transcription_view(ctx.now))
        .collect();
    // Cursor style meta although page[number] is taken, as in the file.
    let size = ctx.req.query("page[size]").and_then(|text| text.parse::<usize>().ok()).unwrap_or(20).clamp(1, 250);
    let number = ctx.req.query("page[number]").and_then(|text| text.parse::<usize>().ok()).unwrap_or(1).max(1);
    let slice: Vec<&Value> = found.iter().skip((number - 1) * size).take(size).collect();
    let meta = json!({"cursors": {"after": "", "before": ""}, "next": "", "previous": ""});
    Ok(Response::json(200, &json!({"data": slice, "meta": meta})))
}

fn transcription(world: &World, id: &str, now: Timestamp) -> Result<(usize, Value), Response> {
    let found = world.telnyx.recordings.iter().enumerate().find_map(|(place, recording)| {
        let view = recording.transcription_view(now)?;
        (view["id"] == id).then_some((place, view))
    });
    found.ok_or_else(|| errors::not_found("The transcription does not exist."))
}

/// GET /recording_transcriptions/{id}
pub fn get_transcription(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let (_, view) = transcription(world, ctx.param(0), ctx.now)?;
    data(200, &view)
}

/// DELETE /recording_transcriptions/{id}
pub fn delete_transcription(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let (place, view) = transcription(world, ctx.param(0), ctx.now)?;
    if let Some(transcription) = &mut world.telnyx.recordings[place].transcription {
        transcription.deleted = true;
    }
    data(200, &view)
}

/// GET /media/{file}: the audio, while the link is good and the recording is there.
pub fn download(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let (id, format) = ctx.param(0).split_once('.').unwrap_or((ctx.param(0), ""));
    let expires = ctx.req.query("expires").unwrap_or("");
    let good = world.dice.uuid("media", &format!("{id}/{expires}"));
    let alive = expires.parse().is_ok_and(|until: i64| until >= ctx.now.as_second());
    if !alive || ctx.req.query("signature") != Some(good.as_str()) {
        let xml = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
        return Err(Response::bytes(403, "application/xml", xml.into()));
    }
    let place = position(world, id, ctx.now)?;
    let recording = &world.telnyx.recordings[place];
    let kind = if format == "wav" { "audio/wav" } else { "audio/mpeg" };
    Ok(Response::bytes(200, kind, audio::wav(&recording.id, recording.millis).into()))
}

/// POST /ai/audio/transcriptions: hears audio of this sandbox, also after its recording was deleted.
pub fn speech_to_text(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let parts = ctx.req.multipart();
    let text =
        |name: &str| parts.iter().find(|p| p.name == name).map(|p| String::from_utf8_lossy(&p.data).into_owned());
    let models = ["distil-whisper/distil-large-v2", "openai/whisper-large-v3-turbo", "deepgram/nova-3"];
    let Some(model) = text("model") else {
        return Err(errors::refuse(422, "10004", "Missing required parameter", "model is required."));
    };
    if !models.contains(&model.as_str()) {
        return Err(errors::refuse(422, "10032", "Invalid enum value", &format!("model must be one of {models:?}.")));
    }
    let named = match (parts.iter().find(|part| part.name == "file"), text("file_url")) {
        (Some(file), _) => audio::recording_id(&file.data),
        (None, Some(url)) => linked(&url),
        (None, None) => {
            return Err(errors::refuse(422, "10004", "Missing required parameter", "file or file_url is required."));
        }
    };
    let known = named.and_then(|id| world.telnyx.recordings.iter().find(|recording| recording.id == id));
    let heard = match (known, world.settings.voice.speech_to_text.as_str()) {
        (Some(recording), "ok") => recording.text.clone(),
        _ => String::new(),
    };
    Ok(Response::json(200, &json!({ "text": heard })))
}

fn linked(url: &str) -> Option<String> {
    let req = Request {
        method: String::new(),
        path: url.split('?').next()?.to_owned(),
        query: Vec::new(),
        headers: Vec::new(),
        body: hyper::body::Bytes::new(),
    };
    let file = req.segments().pop()?;
    Some(file.split('.').next()?.to_owned())
}
