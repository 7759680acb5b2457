//! ETags. With most stores that of an object is the MD5 of its content, or, of one that was uploaded in parts, the MD5 of
//! their MD5s with their number: `HASH-3`. With some, and where the store encrypts, it is something else, which tells no more than
//! whether two answers are about the same object.
//! Which it is, the answers to the requests tell that brought the content: it is known what their MD5s are.

use std::fmt::Write as _;

use md5::{Digest as _, Md5};

/// The MD5 of content.
pub(crate) type Hash = [u8; 16];

pub(crate) fn md5(content: &[u8]) -> Hash {
    Md5::digest(content).into()
}

fn hex(hash: Hash) -> String {
    hash.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Without the quotation marks that HTTP has around it.
fn bare(e_tag: &str) -> &str {
    e_tag.trim_matches('"')
}

/// Whether both are the same ETag: HTTP has quotation marks around it, and a listing may have none.
pub(crate) fn are_same(one: Option<&str>, other: Option<&str>) -> bool {
    one.map(bare) == other.map(bare)
}

/// What an ETag tells of an object that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// It is what was sent.
    Same,
    /// It is something else.
    Other,
    /// It can be either.
    Nothing,
}

impl Told {
    fn same_if(is_same: bool) -> Self {
        if is_same { Self::Same } else { Self::Other }
    }
}

fn is_md5(e_tag: &str, hash: Hash) -> bool {
    bare(e_tag).eq_ignore_ascii_case(&hex(hash))
}

/// Of an object that came in one request, by the ETag that was answered and the one that it has.
pub(crate) fn of_whole(answered: Option<&str>, found: Option<&str>, hash: Hash) -> Told {
    match (answered, found) {
        (Some(answered), Some(found)) if is_md5(answered, hash) => {
            Told::same_if(is_md5(found, hash))
        }
        _ => Told::Nothing,
    }
}

/// Of an object that came in parts, by the ETag of each part, with its MD5, and the one that it has.
pub(crate) fn of_parts<'a>(
    parts: impl IntoIterator<Item = (&'a str, Hash)>,
    found: Option<&str>,
) -> Told {
    let (mut number, mut of_md5, mut hashes) = (0_usize, 0_usize, Vec::new());
    for (answered, hash) in parts {
        number += 1;
        of_md5 += usize::from(is_md5(answered, hash));
        hashes.extend(hash);
    }
    let tells_number = found.and_then(|found| bare(found).rsplit_once('-'));
    let told = tells_number.and_then(|(_, number)| number.parse::<usize>().ok());
    if told.is_some_and(|told| told != number) {
        return Told::Other;
    }
    // Where one is its MD5, all of them must be.
    match (of_md5, tells_number) {
        (0, _) => Told::Nothing,
        (some, _) if some < number => Told::Other,
        (_, Some((tag, _))) => Told::same_if(is_md5(tag, md5(&hashes))),
        (_, None) => Told::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_in_parts_has_the_md5_of_their_md5s_where_the_parts_have_their_own() {
        let parts = [&b"hello "[..], b"world"].map(|part| (hex(md5(part)), md5(part)));
        let of = |found: &str| {
            let parts = parts.iter().map(|(tag, hash)| (tag.as_str(), *hash));
            of_parts(parts, Some(found))
        };
        // printf 'hello ' | md5sum; printf world | md5sum; both as bytes | md5sum
        let both = hex(md5(&parts.clone().map(|(_, hash)| hash).concat()));
        assert_eq!(of(&format!("\"{both}-2\"")), Told::Same);
        let of_another_kind = both.to_uppercase();
        assert_eq!(of(&of_another_kind), Told::Nothing);
        for other in [format!("{both}-3"), format!("{}-2", hex(md5(b"x")))] {
            assert_eq!(of(&other), Told::Other, "{other}");
        }
    }

    #[test]
    fn what_is_no_md5_says_nothing_and_one_part_that_differs_is_another_one() {
        let hash = md5(b"x");
        let encrypted = [("an-etag", hash), ("another", hash)];
        assert_eq!(of_parts(encrypted, Some("f00-2")), Told::Nothing);
        assert_eq!(of_parts(encrypted, Some("f00-1")), Told::Other);
        let one_differs = hex(hash);
        let parts = [(one_differs.as_str(), hash), ("another", hash)];
        assert_eq!(of_parts(parts, None), Told::Other);
        assert_eq!(hex(md5(b"")), "d41d8cd98f00b204e9800998ecf8427e");
    }

    #[test]
    fn an_object_in_one_request_has_its_md5_where_that_was_answered() {
        let (hash, other) = (md5(b"x"), hex(md5(b"y")));
        let own = hex(hash);
        assert_eq!(of_whole(Some(&own), Some(&own), hash), Told::Same);
        assert_eq!(of_whole(Some(&own), Some(&other), hash), Told::Other);
        assert_eq!(of_whole(Some("kms"), Some("kms"), hash), Told::Nothing);
        assert_eq!(of_whole(None, Some(&other), hash), Told::Nothing);
    }
}
