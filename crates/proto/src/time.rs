//! `google.protobuf.Timestamp` to and from the domain's milliseconds.

use domain::Timestamp;

/// The protobuf form.
#[must_use]
pub fn to_proto(at: Timestamp) -> prost_types::Timestamp {
    let millis = at.unix_millis();
    let nanos = i32::try_from(millis.rem_euclid(1_000) * 1_000_000)
        .expect("less than a second of nanoseconds");
    prost_types::Timestamp {
        seconds: millis.div_euclid(1_000),
        nanos,
    }
}

/// The domain's form; what is finer than a millisecond is cut. `None` if it
/// cannot be told in milliseconds or the nanoseconds are out of their range.
#[must_use]
pub fn from_proto(at: &prost_types::Timestamp) -> Option<Timestamp> {
    let nanos = u32::try_from(at.nanos)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000)?;
    let millis = at
        .seconds
        .checked_mul(1_000)?
        .checked_add(i64::from(nanos / 1_000_000))?;
    Some(Timestamp::from_unix_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_survive_both_ways() {
        for millis in [-1_i64, 0, 1, 999, 1_000, 1_778_676_894_719] {
            let at = Timestamp::from_unix_millis(millis);
            assert_eq!(from_proto(&to_proto(at)), Some(at));
        }
        assert_eq!(
            from_proto(&prost_types::Timestamp {
                seconds: 0,
                nanos: -1
            }),
            None
        );
        assert_eq!(
            from_proto(&prost_types::Timestamp {
                seconds: i64::MAX,
                nanos: 0
            }),
            None
        );
    }
}
