//! Input in pieces, as a network would bring it.

/// Cuts `data` into pieces whose lengths come from `cuts`.
pub fn cut<'a>(mut data: &'a [u8], cuts: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut lengths = cuts.iter().cycle();
    std::iter::from_fn(move || {
        let length = usize::from(*lengths.next()?).clamp(1, data.len().max(1));
        let (part, rest) = data.split_at_checked(length)?;
        data = rest;
        Some(part)
    })
}
