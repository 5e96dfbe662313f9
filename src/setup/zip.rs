//! ZIP archives without compression (APPNOTE.TXT §4.3), the same octets each time.

/// Midnight of 1 January 1980, the earliest that the format knows.
const DATE: u16 = 0x0021;
const TIME: u16 = 0;
/// Version 1.0 of the format reads it.
const NEEDED: u16 = 10;
/// Names are UTF-8.
const FLAGS: u16 = 1 << 11;

/// An archive of these files. `None` where a file, or the whole, is too large for the format.
pub(super) fn archive(files: &[(&str, &[u8])]) -> Option<Vec<u8>> {
    let mut archive = Vec::new();
    let mut directory = Vec::new();
    for (name, octets) in files {
        let offset = u32::try_from(archive.len()).ok()?;
        let size = u32::try_from(octets.len()).ok()?;
        let mut common = Vec::new();
        for value in [NEEDED, FLAGS, 0, TIME, DATE] {
            common.extend(value.to_le_bytes());
        }
        for value in [crc32(octets), size, size] {
            common.extend(value.to_le_bytes());
        }
        common.extend(u16::try_from(name.len()).ok()?.to_le_bytes());
        common.extend([0; 2]);

        archive.extend(b"PK\x03\x04");
        archive.extend(&common);
        archive.extend(name.as_bytes());
        archive.extend(*octets);

        directory.extend(b"PK\x01\x02");
        directory.extend(NEEDED.to_le_bytes());
        directory.extend(&common);
        // Comment length, disk, and attributes.
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let count = u16::try_from(files.len()).ok()?;
    let start = u32::try_from(archive.len()).ok()?;
    let size = u32::try_from(directory.len()).ok()?;
    archive.extend(directory);
    archive.extend(b"PK\x05\x06");
    archive.extend([0; 4]);
    archive.extend(count.to_le_bytes());
    archive.extend(count.to_le_bytes());
    archive.extend(size.to_le_bytes());
    archive.extend(start.to_le_bytes());
    archive.extend([0; 2]);
    Some(archive)
}

/// The checksum of ISO 3309, bit by bit: what is archived here is small.
fn crc32(octets: &[u8]) -> u32 {
    let of_octet = |crc: u32, octet: &u8| {
        (0..8).fold(crc ^ u32::from(*octet), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    };
    !octets.iter().fold(u32::MAX, of_octet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_everybody() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b""), 0);
    }
}
