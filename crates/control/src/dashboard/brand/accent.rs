//! The operator's colour, bent until it can be read.

use std::str::FromStr;

/// WCAG 2 AA for text.
const READABLE: f64 = 4.5;

const WHITE: [u8; 3] = [255, 255, 255];
const BLACK: [u8; 3] = [0, 0, 0];
/// The darkest thing that text in the accent stands on in the light theme, and
/// the brightest in the dark one; see `style.css`.
const LIGHT_GROUND: [u8; 3] = [0xf1, 0xf3, 0xf9];
const DARK_GROUND: [u8; 3] = [0x1e, 0x22, 0x31];
const ON_DARK_ACCENT: [u8; 3] = [0x14, 0x17, 0x3a];

/// A colour in sRGB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accent([u8; 3]);

/// The text is not `#` and six hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a colour such as #4338ca is needed")]
pub struct ParseAccentError;

impl FromStr for Accent {
    type Err = ParseAccentError;

    fn from_str(text: &str) -> Result<Self, ParseAccentError> {
        let digits = text.strip_prefix('#').ok_or(ParseAccentError)?;
        let is_hex = digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u32::from_str_radix(digits, 16).map_err(|_| ParseAccentError)?;
        let [_, red, green, blue] = number.to_be_bytes();
        is_hex
            .then_some(Self([red, green, blue]))
            .ok_or(ParseAccentError)
    }
}

impl Accent {
    /// A style sheet with the colour as it can be read in each theme.
    pub(super) fn style(self) -> String {
        let light = towards(self.0, BLACK, |colour| {
            contrast(colour, LIGHT_GROUND) >= READABLE && contrast(colour, WHITE) >= READABLE
        });
        let dark = towards(self.0, WHITE, |colour| {
            contrast(colour, DARK_GROUND) >= READABLE
                && contrast(colour, ON_DARK_ACCENT) >= READABLE
        });
        format!(
            ":root {{ --accent: {}; --accent-strong: {}; }}\n\
             @media (prefers-color-scheme: dark) {{ :root {{ --accent: {}; --accent-strong: {}; }} }}\n",
            hex(light),
            hex(mix(light, BLACK, 0.2)),
            hex(dark),
            hex(mix(dark, WHITE, 0.3)),
        )
    }
}

/// The colour nearest to `from` on the way to `to` that will do.
fn towards(from: [u8; 3], to: [u8; 3], will_do: impl Fn([u8; 3]) -> bool) -> [u8; 3] {
    (0..=50)
        .map(|step| mix(from, to, f64::from(step) / 50.0))
        .find(|colour| will_do(*colour))
        .unwrap_or(to)
}

fn mix(one: [u8; 3], other: [u8; 3], share: f64) -> [u8; 3] {
    std::array::from_fn(|part| {
        let (a, b) = (f64::from(one[part]), f64::from(other[part]));
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between two bytes"
        )]
        let mixed = (a + (b - a) * share).round() as u8;
        mixed
    })
}

/// WCAG 2's ratio, 1 to 21.
fn contrast(one: [u8; 3], other: [u8; 3]) -> f64 {
    let (a, b) = (luminance(one), luminance(other));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

fn luminance(colour: [u8; 3]) -> f64 {
    let [red, green, blue] = colour.map(|part| {
        let part = f64::from(part) / 255.0;
        if part <= 0.04045 {
            part / 12.92
        } else {
            ((part + 0.055) / 1.055).powf(2.4)
        }
    });
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

fn hex([red, green, blue]: [u8; 3]) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn any_colour_can_be_read_in_both_themes() {
        for step in 0..512_u32 {
            let part = |shift: u32| u8::try_from((step >> shift & 7) * 36).unwrap();
            let css = Accent([part(6), part(3), part(0)]).style();
            let colours: Vec<Accent> = css
                .split([' ', ';'])
                .filter_map(|word| word.parse().ok())
                .collect();
            let [light, light_strong, dark, dark_strong] = colours[..] else {
                panic!("{css}");
            };
            for Accent(colour) in [light, light_strong] {
                assert!(contrast(colour, LIGHT_GROUND) >= READABLE, "{css}");
            }
            for Accent(colour) in [dark, dark_strong] {
                assert!(contrast(colour, DARK_GROUND) >= READABLE, "{css}");
                assert!(contrast(colour, ON_DARK_ACCENT) >= READABLE, "{css}");
            }
        }
    }

    #[test]
    fn a_colour_that_can_be_read_is_left_alone() {
        let css = "#4338ca".parse::<Accent>().unwrap().style();
        assert!(css.starts_with(":root { --accent: #4338ca;"), "{css}");
        for wrong in ["4338ca", "#4338c", "#4338cg", "#+338ca", "red", ""] {
            assert_eq!(wrong.parse::<Accent>(), Err(ParseAccentError), "{wrong}");
        }
    }
}
