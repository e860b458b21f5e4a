//! The table as a page for people who write queries.

use super::{ALL, Kind, Metric};

const HEAD: &str = "\
# Metrics

Generated from `crates/telemetry/src/metric.rs`; `UPDATE_REFERENCE=1 cargo test -p postrider-telemetry` writes it anew.

Each process shows them as Prometheus text at `/metrics` of its admin address, and sends them by OTLP (gRPC) if
`OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT` is set. In OTLP the names have dots instead of underscores, and
neither unit nor `_total` at their end. Which role a process runs stands in `target_info{service_name=\"postrider-<role>\"}`.

No metric has a label for an account, an endpoint or an event, and no scrape reads the database. Durations are in seconds. A *shared*
gauge is told by several processes about the same thing: take its `max`, and the `sum` of the others.

";

/// The page `docs/reference/metrics.md`.
#[must_use]
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    page.push_str("| metric | kind | labels | what it tells | who has it |\n");
    page.push_str("| --- | --- | --- | --- | --- |\n");
    for metric in ALL {
        page.push_str(&format!(
            "| `{}` | {} | {} | {} | {} |\n",
            metric.prometheus_name(),
            metric.kind.as_str(),
            metric.label_list(),
            metric.about,
            metric.by,
        ));
    }
    page
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::SharedGauge => "gauge, shared",
            Self::Histogram(_) => "histogram",
        }
    }
}

impl Metric {
    /// What Prometheus calls it.
    #[must_use]
    pub fn prometheus_name(&self) -> String {
        let unit = match self.unit {
            "s" => "_seconds",
            "By" => "_bytes",
            _ => "",
        };
        let total = match self.kind {
            Kind::Counter => "_total",
            _ => "",
        };
        format!("{}{unit}{total}", self.name.replace('.', "_"))
    }

    fn label_list(&self) -> String {
        let label =
            |(name, values): &(&str, &str)| format!("`{}`: {values}", name.replace('.', "_"));
        let labels: Vec<String> = self.labels.iter().map(label).collect();
        labels.join("; ")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_page_in_docs_is_what_the_table_says() {
        let path = Path::new("../../docs/reference/metrics.md");
        if std::env::var_os("UPDATE_REFERENCE").is_some() {
            std::fs::write(path, reference()).unwrap();
        }
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            page == reference(),
            "docs/reference/metrics.md is stale: run this test with UPDATE_REFERENCE=1"
        );
    }

    #[test]
    fn no_name_stands_twice_and_no_label_grows_with_the_customers() {
        let names: BTreeSet<&str> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
        let unbounded = [
            "account", "endpoint", "event", "delivery", "url", "host", "id",
        ];
        for metric in ALL {
            for (label, _) in metric.labels {
                assert!(!unbounded.contains(label), "{} has {label}", metric.name);
            }
        }
    }
}
