//! What the dashboard shows of its operator.

use std::path::Path;

use control::{Branding, Logo};

use super::Error;
use super::setting::Setting;
use super::source::Values;
use super::value::invalid;

const MAX_LOGO_BYTES: u64 = 256 * 1_024;
const MAX_TEXT: usize = 500;
const TRACE_ID: &str = "{trace_id}";

pub(super) fn branding(values: &Values) -> Result<Branding, Error> {
    let accent = values.get(Setting::BrandAccent).map(|value| {
        let parsed = value.text.parse();
        parsed.map_err(|error| invalid(values, Setting::BrandAccent, error))
    });
    Ok(Branding {
        name: text(values, Setting::BrandName)?,
        logo: logo(values)?,
        accent: accent.transpose()?,
        banner: text(values, Setting::Banner)?.unwrap_or_default(),
        egress_addresses: text(values, Setting::EgressAddresses)?.unwrap_or_default(),
        frame_origins: frame_origins(values)?,
        trace_url_template: trace_url_template(values)?,
    })
}

fn text(values: &Values, setting: Setting) -> Result<Option<String>, Error> {
    let text = values.get(setting).map(|value| value.text.clone());
    match text {
        Some(text) if text.chars().count() > MAX_TEXT || text.chars().any(char::is_control) => {
            let message = format!("one line of at most {MAX_TEXT} characters is needed");
            Err(invalid(values, setting, message))
        }
        text => Ok(text),
    }
}

/// Read at the start: what cannot be shown is told then.
fn logo(values: &Values) -> Result<Option<Logo>, Error> {
    let setting = Setting::BrandLogo;
    let Some(value) = values.get(setting) else {
        return Ok(None);
    };
    let path = Path::new(&value.text);
    let ending = path.extension().and_then(|ending| ending.to_str());
    let media_type = match ending.map(str::to_ascii_lowercase).as_deref() {
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("webp") => "image/webp",
        _ => {
            let message = "a file that ends in .svg, .png, .jpg or .webp is needed";
            return Err(invalid(values, setting, message));
        }
    };
    let unreadable = |error| invalid(values, setting, format!("it cannot be read: {error}"));
    if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_LOGO_BYTES {
        let message = "a file of at most 256 KiB is needed";
        return Err(invalid(values, setting, message));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    Ok(Some(Logo { media_type, bytes }))
}

/// They go into a header as they are, so they have one form.
fn frame_origins(values: &Values) -> Result<Vec<String>, Error> {
    let setting = Setting::FrameOrigins;
    let text = values.get(setting).map_or("", |value| &value.text);
    let parts = text.split(',').map(str::trim);
    parts
        .filter(|part| !part.is_empty())
        .map(|part| {
            let origin = part.trim_end_matches('/');
            is_origin(origin).then(|| origin.to_owned()).ok_or_else(|| {
                let message = format!(
                    "`{part}` is not an origin such as https://app.example.com (a port may be `*`)"
                );
                invalid(values, setting, message)
            })
        })
        .collect()
}

fn is_origin(text: &str) -> bool {
    // A content security policy may leave the port open; a URL may not.
    let fixed = text.strip_suffix(":*").unwrap_or(text);
    let Ok(url) = url::Url::parse(fixed) else {
        return false;
    };
    !fixed.contains('*')
        && matches!(url.scheme(), "http" | "https")
        && url.origin().ascii_serialization() == fixed
}

fn trace_url_template(values: &Values) -> Result<Option<String>, Error> {
    let setting = Setting::TraceUrlTemplate;
    let Some(value) = values.get(setting) else {
        return Ok(None);
    };
    let filled = value.text.replace(TRACE_ID, "0");
    let is_web = url::Url::parse(&filled).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    if is_web && value.text.contains(TRACE_ID) {
        return Ok(Some(value.text.clone()));
    }
    let message = "an http:// or https:// URL with {trace_id} in it is needed, such as https://tempo.example.com/trace/{trace_id}";
    Err(invalid(values, setting, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port_and_nothing_else() {
        for good in [
            "https://app.example.com",
            "http://localhost:*",
            "https://app.example.com:8443",
        ] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "*",
            "https://*.example.com",
            "app.example.com",
            "https://app.example.com/path",
            "https://app.example.com:443",
            "https://user@app.example.com",
            "https://a.example 'self'",
            "https://a.example;script-src *",
            "data:",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
    }
}
