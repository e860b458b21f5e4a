//! A chart of the main figures as SVG, written by hand.

use std::fmt::Write as _;

use crate::measured::Measured;
use crate::report::number;

const WIDTH: u32 = 760;
const LABEL_WIDTH: u32 = 330;
const VALUE_WIDTH: u32 = 90;
const ROW: u32 = 22;
const BAR: u32 = 14;
const TITLE: u32 = 38;
const MARGIN: u32 = 12;

/// Bars on a scale of their own.
#[derive(Debug)]
struct Group {
    title: &'static str,
    bars: Vec<Bar>,
}

#[derive(Debug)]
struct Bar {
    label: String,
    value: f64,
    /// What the bare client does, to compare with.
    is_raw: bool,
}

/// The chart; groups without figures are left out.
pub(crate) fn svg(outcomes: &[Measured]) -> String {
    let groups = [
        group(
            "Deliveries per second",
            outcomes,
            "fan-out",
            &["deliveries", "raw limit"],
        ),
        group(
            "CPU seconds per 1,000 deliveries, all processes",
            outcomes,
            "fan-out",
            &["cpu, all", "cpu, raw client"],
        ),
        group(
            "Publish to arrival, milliseconds",
            outcomes,
            "latency",
            &["p50", "raw p50", "p99", "raw p99"],
        ),
        group(
            "Healthy p99 beside what disturbs it, as a multiple of without",
            outcomes,
            "",
            &[
                "same account, p99 with / without",
                "other account, p99 with / without",
            ],
        ),
    ];
    draw(groups.into_iter().filter(|group| !group.bars.is_empty()))
}

fn group(title: &'static str, outcomes: &[Measured], scenario: &str, names: &[&str]) -> Group {
    let of_scenario = outcomes
        .iter()
        .filter(|outcome| outcome.scenario.starts_with(scenario));
    let mut bars = Vec::new();
    for outcome in of_scenario {
        let sync = outcome.variant.split("sync ").last().unwrap_or_default();
        let kind = if outcome.variant.starts_with("five") {
            ", five processes"
        } else {
            ""
        };
        for name in names {
            let value = outcome.value(name);
            if value.is_finite() {
                bars.push(Bar {
                    label: format!("{} ({sync}{kind}): {name}", outcome.scenario),
                    value,
                    is_raw: name.contains("raw"),
                });
            }
        }
    }
    Group { title, bars }
}

fn draw(groups: impl Iterator<Item = Group>) -> String {
    let mut y = MARGIN;
    let mut marks = String::new();
    for group in groups {
        y += TITLE;
        let _ = writeln!(
            marks,
            "<text x=\"{MARGIN}\" y=\"{}\" class=\"title\">{}</text>",
            y - 12,
            group.title
        );
        let most = group.bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
        for bar in &group.bars {
            draw_bar(&mut marks, bar, y, most);
            y += ROW;
        }
    }
    let height = y + MARGIN;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\" aria-label=\"The main figures\">\n\
         <style>\n\
         text {{ font: 12px system-ui, sans-serif; fill: #24292f }}\n\
         .title {{ font-weight: 600; font-size: 14px }}\n\
         .ours {{ fill: #2563eb }}\n\
         .raw {{ fill: #9ca3af }}\n\
         @media (prefers-color-scheme: dark) {{ text {{ fill: #e6edf3 }} .ours {{ fill: #60a5fa }} \
         .raw {{ fill: #6b7280 }} }}\n\
         </style>\n{marks}</svg>\n"
    )
}

fn draw_bar(marks: &mut String, bar: &Bar, y: u32, most: f64) {
    let room = f64::from(WIDTH - LABEL_WIDTH - VALUE_WIDTH - 2 * MARGIN);
    let width = if most > 0.0 {
        room * bar.value / most
    } else {
        0.0
    };
    let (text_y, bar_x) = (y + BAR - 3, MARGIN + LABEL_WIDTH);
    let class = if bar.is_raw { "raw" } else { "ours" };
    let _ = writeln!(
        marks,
        "<text x=\"{MARGIN}\" y=\"{text_y}\">{}</text>\
         <rect x=\"{bar_x}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\" class=\"{class}\"/>\
         <text x=\"{:.1}\" y=\"{text_y}\">{}</text>",
        bar.label,
        f64::from(bar_x) + width + 6.0,
        number(bar.value)
    );
}
