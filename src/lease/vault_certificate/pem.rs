//! PEM (RFC 7468), read and written in buffers that are overwritten: pure.

use crate::secret::{Secret, assemble};
use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";
/// Base64 characters on a line (RFC 7468, 2).
const LINE: usize = 64;

/// One `-----BEGIN LABEL-----` block.
pub(super) struct Block<'a> {
    pub(super) label: &'a str,
    /// What it holds, mostly DER.
    pub(super) content: Zeroizing<Vec<u8>>,
}

/// Whether there is a block in it at all.
pub(super) fn is_pem(text: &str) -> bool {
    text.contains(BEGIN)
}

/// All blocks, in their order. Text between them (names, bag attributes) is passed over, as RFC 7468 wants it.
///
/// Errors: a block that does not end, or holds something else than base64; said without a word of what it holds.
pub(super) fn read(text: &str) -> Result<Vec<Block<'_>>, String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let Some(label) = line.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(DASHES)) else {
            continue;
        };
        // As long as the whole text: it never grows, so no copy is left behind by a reallocation.
        let mut base64 = Zeroizing::new(Vec::with_capacity(text.len()));
        loop {
            let line = lines.next().ok_or_else(|| format!("the PEM block {label:?} does not end"))?;
            if let Some(end) = line.strip_prefix(END) {
                if end.strip_suffix(DASHES) != Some(label) {
                    return Err(format!("the PEM block {label:?} ends as another one"));
                }
                break;
            }
            base64.extend_from_slice(line.as_bytes());
        }
        let mut content = Zeroizing::new(vec![0; base64::decoded_len_estimate(base64.len())]);
        let length = STANDARD.decode_slice(&*base64, &mut content);
        content.truncate(length.map_err(|_| format!("the PEM block {label:?} is not base64"))?);
        blocks.push(Block { label, content });
    }
    Ok(blocks)
}

/// The `contents` as blocks with the same label.
pub(super) fn write<'a>(label: &str, contents: impl IntoIterator<Item = &'a [u8]>) -> Secret {
    let encoded: Vec<Zeroizing<String>> =
        contents.into_iter().map(|content| Zeroizing::new(STANDARD.encode(content))).collect();
    let text = assemble(|put| {
        for base64 in &encoded {
            [BEGIN, label, DASHES, "\n"].into_iter().for_each(&mut *put);
            let mut rest = base64.as_str();
            while !rest.is_empty() {
                let (line, more) = rest.split_at(rest.len().min(LINE));
                put(line);
                put("\n");
                rest = more;
            }
            [END, label, DASHES, "\n"].into_iter().for_each(&mut *put);
        }
    });
    let Ok(secret) = std::str::from_utf8(&text).expect("put together from texts").parse();
    secret
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_what_stands_between_is_passed_over() {
        let (one, two) = (vec![7; 48], (0..=255).collect::<Vec<u8>>());
        let text = write("CERTIFICATE", [one.as_slice(), two.as_slice()]);
        assert!(text.expose().lines().all(|line| line.len() <= 64) && text.expose().ends_with("-----\n"));
        let text = format!("Bag Attributes\r\n  friendlyName: x\r\n{}", text.expose().replace('\n', "\r\n"));
        let blocks = read(&text).expect("PEM");
        let contents: Vec<_> = blocks.iter().map(|block| (block.label, block.content.to_vec())).collect();
        assert_eq!(contents, [("CERTIFICATE", one), ("CERTIFICATE", two)]);
        assert!(read("no block at all").expect("nothing").is_empty());
    }

    #[test]
    fn a_torn_block_is_told_without_its_content() {
        for torn in [
            "-----BEGIN A-----\nc2VjcmV0",
            "-----BEGIN A-----\nc2VjcmV0\n-----END B-----",
            "-----BEGIN A-----\nc2VjcmV0!\n-----END A-----",
            "-----BEGIN A-----\nKey: c2VjcmV0\n\nc2VjcmV0\n-----END A-----",
        ] {
            let why = read(torn).err().expect("torn");
            assert!(why.contains("\"A\"") && !why.contains("c2Vj"), "{why}");
        }
    }
}
