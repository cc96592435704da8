//! Properties of a JPEG file that the `image` crate does not report.

/// What the markers of a JPEG file contain (ITU-T T.81, B.1).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct JpegSegments {
    /// Components of a pixel: 1 for gray, 3 for colour, 4 for inks.
    pub(super) n_components: Option<u8>,
    /// Whether the image has an end marker. The `image` crate decodes a truncated file without an
    /// error and fills the rest with gray.
    pub(super) ends: bool,
}

impl JpegSegments {
    /// Reads as far as the segments are complete.
    pub(super) fn of(jpeg: &[u8]) -> Self {
        let mut found = Self::default();
        let mut rest = jpeg;
        while let Some((marker, after)) = next_marker(rest) {
            rest = match marker {
                0xd9 => {
                    found.ends = true;
                    break;
                }
                // Start of image, and a marker without meaning: neither has a segment.
                0xd8 | 0x01 => after,
                _ => {
                    let Some((segment, after)) = segment(after) else { break };
                    // Start of frame: length, precision, height, width, and the count. C4, C8 and
                    // CC are other segments.
                    if matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
                        found.n_components = found.n_components.or(segment.get(7).copied());
                    }
                    after
                }
            };
        }
        found
    }
}

/// The next marker and what follows it. Within a scan FF is always followed by 00 or a restart
/// marker, so other pairs cannot be pixels (ITU-T T.81, B.1.1.5); any number of FF may precede a
/// marker (B.1.1.2).
fn next_marker(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let is_marker = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xd0..=0xd7 | 0xff);
    let at = bytes.windows(2).position(is_marker)?;
    Some((bytes[at + 1], &bytes[at + 2..]))
}

/// A segment including its two bytes of length, and the bytes that follow it.
fn segment(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::from(u16::from_be_bytes(bytes.get(..2)?.try_into().ok()?));
    bytes.split_at_checked(length.max(2))
}
