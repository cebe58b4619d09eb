//! A host's word on who has the right to details.

use axum::http::Extensions;

#[cfg(doc)]
use crate::model::Details;

/// What the host says of the sender of a request: whether it has the right to details, which are
/// causes, figures and labels.
///
/// A host that authenticates its callers puts this into the extensions of their requests, in a layer
/// around the routes. Then the host's word holds, on every route, and no token of ours is asked for
/// or looked at: `Authorization` may hold what is the host's. A caller with the right may scrape
/// `/metrics` as well. A request without this extension is judged by [`Details`] and the tokens as
/// ever, and [`Details::Never`] means nobody, whatever the host says.
///
/// ```
/// use axum::{Extension, Router, extract::Request, middleware::{Next, from_fn}};
/// use vitalsign::{Health, http::ShowDetails};
///
/// # struct User { on_call: bool }
/// # fn authenticate(_: &Request) -> User { User { on_call: true } }
/// fn app(health: &Health) -> Router {
///     let ask = from_fn(|mut request: Request, next: Next| async move {
///         let right = authenticate(&request).on_call;
///         request.extensions_mut().insert(ShowDetails(right));
///         next.run(request).await
///     });
///     health.router().layer(ask)
/// }
///
/// // Behind a listener that only the right people reach:
/// fn internal(health: &Health) -> Router {
///     health.detail_router().layer(Extension(ShowDetails(true)))
/// }
/// # let _ = (app, internal);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShowDetails(pub bool);

impl ShowDetails {
    /// What the host says of the request with these extensions, if anything.
    pub(super) fn of(extensions: &Extensions) -> Option<bool> {
        extensions.get::<Self>().map(|right| right.0)
    }
}
