//! Properties of a PNG file that the `image` crate does not report.

/// Signature of a PNG file: eight bytes, then its chunks.
const SIGNATURE: usize = 8;

/// Prefix that some writers put before the EXIF data, as in JPEG.
const PREFIX: &[u8] = b"Exif\0\0";

/// What the chunks of a PNG file contain.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PngChunks<'a> {
    /// The EXIF data. They may follow the image, where a decoder that stops at its end does not see
    /// them (PNG, third edition, 11.3.4.5).
    pub(super) exif: Option<&'a [u8]>,
    /// Whether there are frames beyond the image itself.
    pub(super) is_animated: bool,
}

impl<'a> PngChunks<'a> {
    /// Reads as far as the chunks are complete; the decoder reports what is wrong with the rest.
    pub(super) fn of(png: &'a [u8]) -> Self {
        let mut found = Self::default();
        let mut rest = png.get(SIGNATURE..).unwrap_or_default();
        while let Some((name, data, after)) = chunk(rest) {
            match name {
                b"eXIf" => {
                    found.exif = found.exif.or(Some(data.strip_prefix(PREFIX).unwrap_or(data)))
                }
                b"fdAT" => found.is_animated = true,
                b"IEND" => break,
                _ => {}
            }
            rest = after;
        }
        found
    }
}

/// Name and data of the first chunk, and the bytes after its checksum.
fn chunk(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (length, bytes) = bytes.split_at_checked(4)?;
    let length = u32::from_be_bytes(length.try_into().ok()?) as usize;
    let (body, after) = bytes.split_at_checked(length.checked_add(4)?)?;
    let (_, after) = after.split_at_checked(4)?;
    Some((&body[..4], &body[4..], after))
}
