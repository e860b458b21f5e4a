//! What the operator makes of the dashboard: its name, logo and colour, what it
//! tells customers, and which sites may show it in a frame.

mod accent;

use axum::http::HeaderValue;

pub use accent::{Accent, ParseAccentError};

use super::assets::Asset;

/// How the dashboard presents itself. The default is Postrider's own.
#[derive(Debug, Clone, Default)]
pub struct Branding {
    /// Instead of "Postrider".
    pub name: Option<String>,
    pub logo: Option<Logo>,
    pub accent: Option<Accent>,
    /// Told above every list of endpoints; empty: nothing.
    pub banner: String,
    /// Where deliveries come from, for customers' firewalls; empty: not told.
    pub egress_addresses: String,
    /// Origins whose pages may show a customer's dashboard in a frame.
    pub frame_origins: Vec<String>,
    /// The address of a trace, with `{trace_id}` in it.
    pub trace_url_template: Option<String>,
}

/// An image for the head of each page.
#[derive(Debug, Clone)]
pub struct Logo {
    /// Such as `image/svg+xml`.
    pub media_type: &'static str,
    pub bytes: Vec<u8>,
}

/// The same, ready to be served.
#[derive(Debug)]
pub(super) struct Brand {
    pub(super) name: String,
    pub(super) logo: Option<Asset>,
    pub(super) style: Option<Asset>,
    pub(super) banner: String,
    pub(super) egress_addresses: String,
    /// Sources for `frame-ancestors`; `None`: nobody may frame it.
    frame_ancestors: Option<HeaderValue>,
    trace_url_template: Option<String>,
}

impl Brand {
    pub(super) fn new(branding: Branding) -> Self {
        let ending = |logo: &Logo| match logo.media_type {
            "image/svg+xml" => "svg",
            "image/png" => "png",
            "image/webp" => "webp",
            _ => "jpg",
        };
        let logo = branding.logo.map(|logo| {
            let ending = ending(&logo);
            Asset::new("logo", ending, logo.media_type, logo.bytes)
        });
        let style = branding.accent.map(|accent| {
            let css = accent.style();
            Asset::new("brand", "css", "text/css; charset=utf-8", css.into_bytes())
        });
        let frame_ancestors = (!branding.frame_origins.is_empty())
            .then(|| super::guard::policy(&branding.frame_origins.join(" ")));
        Self {
            name: branding.name.unwrap_or_else(|| "Postrider".to_owned()),
            logo,
            style,
            banner: branding.banner,
            egress_addresses: branding.egress_addresses,
            frame_ancestors,
            trace_url_template: branding.trace_url_template,
        }
    }

    /// The content security policy of what customers see, if some site may frame
    /// it.
    pub(super) fn framed_policy(&self) -> Option<&HeaderValue> {
        self.frame_ancestors.as_ref()
    }

    /// Where a trace can be looked at.
    pub(super) fn trace_url(&self, trace_id: &str) -> Option<String> {
        let template = self.trace_url_template.as_ref()?;
        (!trace_id.is_empty()).then(|| template.replace("{trace_id}", trace_id))
    }
}
