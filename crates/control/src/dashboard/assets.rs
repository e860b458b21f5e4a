//! Style, script and images. Their names hold a part of their SHA-256, so that
//! browsers may keep them for ever.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, LazyLock};

use axum::Extension;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::brand::Brand;

const FOR_EVER: &str = "public, max-age=31536000, immutable";

pub(super) struct Asset {
    /// `/assets/…`
    pub(super) path: String,
    media_type: &'static str,
    bytes: Cow<'static, [u8]>,
}

impl fmt::Debug for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asset")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Asset {
    pub(super) fn new(
        stem: &str,
        ending: &str,
        media_type: &'static str,
        bytes: impl Into<Cow<'static, [u8]>>,
    ) -> Self {
        let bytes = bytes.into();
        let hash = URL_SAFE_NO_PAD.encode(&Sha256::digest(&bytes)[..9]);
        Self {
            path: format!("/assets/{stem}-{hash}.{ending}"),
            media_type,
            bytes,
        }
    }
}

static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    let bytes = include_bytes!("assets/style.css").as_slice();
    Asset::new("style", "css", "text/css; charset=utf-8", bytes)
});
static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    let bytes = include_bytes!("assets/script.js").as_slice();
    Asset::new("script", "js", "text/javascript; charset=utf-8", bytes)
});
static ICON: LazyLock<Asset> = LazyLock::new(|| {
    let bytes = include_bytes!("assets/icon.svg").as_slice();
    Asset::new("icon", "svg", "image/svg+xml", bytes)
});

pub(super) fn style_path() -> &'static str {
    &STYLE.path
}

pub(super) fn script_path() -> &'static str {
    &SCRIPT.path
}

pub(super) fn icon_path() -> &'static str {
    &ICON.path
}

/// Answers with a file of exactly this name.
pub(super) async fn serve(
    Extension(brand): Extension<Arc<Brand>>,
    Path(name): Path<String>,
) -> Response {
    let own = [&*STYLE, &*SCRIPT, &*ICON].into_iter();
    let mut all = own.chain(&brand.logo).chain(&brand.style);
    let wanted = all.find(|asset| asset.path.strip_prefix("/assets/") == Some(&name));
    match wanted {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(asset) => {
            let headers = [
                (header::CONTENT_TYPE, asset.media_type),
                (header::CACHE_CONTROL, FOR_EVER),
            ];
            (headers, asset.bytes.to_vec()).into_response()
        }
    }
}
