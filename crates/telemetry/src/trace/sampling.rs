//! `OTEL_TRACES_SAMPLER` and its argument.

use opentelemetry_sdk::trace::{Sampler, ShouldSample};

/// A value that names no sampler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown(pub String);

impl std::fmt::Display for Unknown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unknown {}

/// The sampler of this name, `parentbased_always_on` if there is none.
///
/// # Errors
///
/// When there is no such sampler, or its argument is no ratio.
pub fn sampler(
    name: Option<&str>,
    argument: Option<&str>,
) -> Result<Box<dyn ShouldSample>, Unknown> {
    let name = name.unwrap_or("parentbased_always_on");
    let (is_parent_based, root) = match name.strip_prefix("parentbased_") {
        Some(root) => (true, root),
        None => (false, name),
    };
    let root = match root {
        "always_on" => Sampler::AlwaysOn,
        "always_off" => Sampler::AlwaysOff,
        "traceidratio" => Sampler::TraceIdRatioBased(ratio(argument)?),
        _ => {
            return Err(Unknown(format!(
                "OTEL_TRACES_SAMPLER={name}: use always_on, always_off, traceidratio, or one of \
                 them behind parentbased_"
            )));
        }
    };
    Ok(if is_parent_based {
        Box::new(Sampler::ParentBased(Box::new(root)))
    } else {
        Box::new(root)
    })
}

fn ratio(argument: Option<&str>) -> Result<f64, Unknown> {
    let Some(text) = argument else {
        return Ok(1.0);
    };
    let ratio = text.trim().parse().ok();
    ratio
        .filter(|ratio| (0.0..=1.0).contains(ratio))
        .ok_or_else(|| {
            let message = "a number from 0 to 1 is needed";
            Unknown(format!("OTEL_TRACES_SAMPLER_ARG={text}: {message}"))
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn samplers_have_their_standard_names() {
        for name in ["always_on", "parentbased_always_off", "traceidratio"] {
            assert!(sampler(Some(name), None).is_ok(), "{name}");
        }
        assert!(sampler(None, None).is_ok());
        assert!(sampler(Some("parentbased_traceidratio"), Some("0.1")).is_ok());
        for (name, argument) in [
            ("sometimes", "1"),
            ("traceidratio", "10"),
            ("traceidratio", "x"),
        ] {
            assert!(sampler(Some(name), Some(argument)).is_err(), "{name}");
        }
    }
}
