//! Pages, and refusals as pages.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use domain::key::Need;
use domain::{AccountId, Problem, Reason};

use super::assets;
use super::brand::Brand;
use super::sign_in::SignInPage;
use super::visitor::Scope;

/// What stands around every page.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) title: String,
    pub(super) brand: Arc<Brand>,
    /// Whose page it is.
    pub(super) account: Option<AccountId>,
    pub(super) signed_in: bool,
    /// The operator may go to other accounts; a customer may not.
    pub(super) operator: bool,
    /// The visitor may change things here.
    pub(super) may_change: bool,
    /// The part of the dashboard, by the last segment of its address.
    pub(super) section: &'static str,
    /// What was searched for.
    pub(super) searched: String,
}

impl Frame {
    /// Of a page that anybody may see.
    pub(super) fn open(title: &str, brand: Arc<Brand>) -> Self {
        Self {
            title: title.to_owned(),
            brand,
            account: None,
            signed_in: false,
            operator: false,
            may_change: false,
            section: "",
            searched: String::new(),
        }
    }

    /// Of an account's page.
    pub(super) fn of(title: impl Into<String>, scope: &Scope) -> Self {
        let identity = &scope.identity;
        Self {
            title: title.into(),
            brand: scope.brand.clone(),
            account: Some(scope.account.clone()),
            signed_in: true,
            operator: !scope.portal && identity.account.is_none(),
            may_change: identity.authorise(&scope.account, Need::Admin).is_ok(),
            section: "webhooks",
            searched: String::new(),
        }
    }

    /// Of a page of the operator's own.
    pub(super) fn operators(title: &str, section: &'static str, brand: Arc<Brand>) -> Self {
        Self {
            signed_in: true,
            operator: true,
            section,
            ..Self::open(title, brand)
        }
    }

    pub(super) fn style(&self) -> &'static str {
        assets::style_path()
    }

    pub(super) fn script(&self) -> &'static str {
        assets::script_path()
    }

    pub(super) fn icon(&self) -> &'static str {
        assets::icon_path()
    }

    pub(super) fn logo(&self) -> &str {
        let own = self.brand.logo.as_ref();
        own.map_or(assets::icon_path(), |logo| &logo.path)
    }

    /// `aria-current` of a link to this section.
    pub(super) fn current(&self, section: &str) -> &'static str {
        match self.section == section {
            true => "page",
            false => "false",
        }
    }
}

/// Renders a page.
pub(super) fn render(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => (status, Html(text)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A problem on its way to a person.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) Problem);

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

/// What every handler answers.
pub(super) type Answer = Result<Response, Refusal>;

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    frame: Frame,
    status: u16,
    detail: String,
}

impl IntoResponse for Refusal {
    /// Only a note of the problem: [`explain`] makes the page.
    fn into_response(self) -> Response {
        let mut response = status_of(&self.0).into_response();
        response.extensions_mut().insert(Arc::new(self.0));
        response
    }
}

/// A middleware: a problem becomes a page.
pub(super) async fn explain(
    Extension(brand): Extension<Arc<Brand>>,
    request: Request,
    next: Next,
) -> Response {
    let asked = match request.method() {
        &Method::GET => request.uri().path_and_query().map(ToString::to_string),
        _ => None,
    };
    let mut response = next.run(request).await;
    match response.extensions_mut().remove::<Arc<Problem>>() {
        Some(problem) => problem_page(&problem, &asked.unwrap_or_default(), brand),
        None => response,
    }
}

/// `asked` is the address, empty if a form was sent there.
fn problem_page(problem: &Problem, asked: &str, brand: Arc<Brand>) -> Response {
    let status = status_of(problem);
    if status.is_server_error() {
        let code = problem.reason.code();
        tracing::warn!(code, detail = problem.detail, "a page was refused");
    }
    if problem.reason == Reason::KeyInvalid {
        return render(status, &SignInPage::after_a_session(asked, brand));
    }
    let page = ProblemPage {
        frame: Frame::open(problem.reason.title(), brand),
        status: status.as_u16(),
        detail: words(problem),
    };
    let mut response = render(status, &page);
    if let Some(wait) = problem.retry_after {
        let seconds = HeaderValue::from(wait.as_secs().max(1));
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

/// The answer to an address of an account that has no page.
pub(super) async fn nothing_here() -> Refusal {
    let detail = "The address may have been cut off on its way here.";
    Refusal(Problem::new(Reason::RouteNotFound, detail))
}

/// The answer to an address that only a form leads to.
pub(super) async fn not_this_way() -> Refusal {
    let detail = "This is where a form is sent to; go back to the page that it stands on.";
    Refusal(Problem::new(Reason::MethodNotAllowed, detail))
}

/// What a problem means to somebody who looks at pages and calls no API.
pub(super) fn words(problem: &Problem) -> String {
    let words = match problem.reason {
        Reason::EndpointNotFound => "It was deleted, or belongs to another account.",
        Reason::EventNotFound
        | Reason::DeliveryNotFound
        | Reason::AttemptNotFound
        | Reason::ReplayNotFound => {
            "It is no longer kept, or belongs to another account. What came a moment ago may not \
             be here yet: look again."
        }
        Reason::KeyNotFound => "It was revoked.",
        Reason::PageTokenInvalid => "The list has changed: begin again at its first page.",
        _ => return problem.detail.clone(),
    };
    words.to_owned()
}

/// The HTTP status of a problem.
pub(super) fn status_of(problem: &Problem) -> StatusCode {
    StatusCode::from_u16(problem.reason.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
