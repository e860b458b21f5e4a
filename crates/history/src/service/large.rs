//! Pages of events hold their bodies. A hundred of the largest would be 25 MB for
//! one call, and a caller may have many under way: so a page ends early.

/// The bodies of a page come to this at most; one event there is always.
const PAGE_BYTES: usize = 4 << 20;

/// How many of the first bodies, by their sizes, one page may hold.
pub(super) fn fitting(sizes: impl Iterator<Item = usize>) -> u32 {
    let mut sum = 0_usize;
    let fit = sizes.take_while(|size| {
        sum = sum.saturating_add(*size);
        sum <= PAGE_BYTES
    });
    u32::try_from(fit.count()).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_what_fits_and_one_at_least() {
        let fitting = |sizes: &[usize]| fitting(sizes.iter().copied());
        assert_eq!(fitting(&[10; 100]), 100);
        assert_eq!(fitting(&[PAGE_BYTES / 4; 100]), 4);
        assert_eq!(fitting(&[PAGE_BYTES + 1, 1]), 1);
        assert_eq!(fitting(&[1, PAGE_BYTES]), 1);
        assert_eq!(fitting(&[usize::MAX, usize::MAX]), 1);
    }
}
