//! The last word and the finalizer's end.
//!
//! The finalizer is taken by a JSON patch that tests the finalizer, the uid and the generation, not the resourceVersion:
//! whoever writes labels or conditions all the time would win every race against the time that a release takes. What money
//! and counts depend on is compared by a read right before.

use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::{Api, Resource, ResourceExt};

use super::super::error::StepError;
use super::super::pass::as_known;
use super::super::verify;
use crate::controller::context::Context;
use crate::controller::events::{self, Draft};
use crate::domain::NamespacedName;
use crate::resources::ClientNumber;
use crate::resources::names::LINE_FINALIZER;
use crate::resources::reasons::Reason;

/// How often it is tried against others who write finalizers.
const TRIES: usize = 5;

/// Says what became of the line and lets the object go. `line` is what that was decided on. A person's code that nobody
/// has read goes first: the next line of that name would hand it in.
pub async fn run(ctx: &Context, line: &ClientNumber, reason: Reason, message: String) -> Result<Action, StepError> {
    let draft = Draft {
        warning: reason == Reason::Abandoned,
        reason: reason.as_str().into(),
        action: "Release".into(),
        note: message,
    };
    let namespaced = NamespacedName::new(line.namespace().unwrap_or_default(), line.name_any());
    verify::clear_code(ctx, &namespaced).await?;
    events::write(ctx, &line.object_ref(&()), vec![draft]).await;
    let api: Api<ClientNumber> = Api::namespaced(ctx.client.clone(), &line.namespace().unwrap_or_default());
    let name = line.name_any();
    for _ in 0..TRIES {
        let Some(live) = api.get_opt(&name).await? else { return Ok(Action::await_change()) };
        if !as_known(line, &live) {
            return Err(StepError::Moved);
        }
        let Some(place) = live.finalizers().iter().position(|f| f == LINE_FINALIZER) else {
            return Ok(Action::await_change());
        };
        match api.patch(&name, &PatchParams::default(), &without(&live, place)?).await {
            Ok(_) => return Ok(Action::await_change()),
            Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(Action::await_change()),
            // A test of the patch did not hold any more, or the server gave up repeating it.
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_invalid() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StepError::Moved)
}

/// Takes the finalizer at `place` away if the object still is what was read.
fn without(live: &ClientNumber, place: usize) -> Result<Patch<ClientNumber>, StepError> {
    let path = format!("/metadata/finalizers/{place}");
    let operations = serde_json::json!([
        {"op": "test", "path": "/metadata/uid", "value": live.metadata.uid},
        {"op": "test", "path": "/metadata/generation", "value": live.metadata.generation},
        {"op": "test", "path": path, "value": LINE_FINALIZER},
        {"op": "remove", "path": path},
    ]);
    Ok(Patch::Json(serde_json::from_value(operations).map_err(kube::Error::SerdeError)?))
}
