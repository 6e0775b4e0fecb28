//! What a child prints, piece by piece → its beginning and its end, the middle counted. Pure.

use std::str;

/// What is kept of one stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// The beginning, or everything if nothing was dropped.
    pub head: Vec<u8>,
    /// The end; empty if nothing was dropped.
    pub tail: Vec<u8>,
    /// Bytes that the child printed.
    pub total: u64,
    /// Bytes between head and tail that are not kept.
    pub dropped: u64,
}

/// A stream while it is read: it never holds more than what is to be kept.
#[derive(Debug)]
pub(super) struct Keeper {
    head: Vec<u8>,
    head_bytes: usize,
    /// The latest bytes behind the head, in a ring that begins at `at` once it is full.
    tail: Vec<u8>,
    tail_bytes: usize,
    at: usize,
    total: u64,
}

impl Keeper {
    /// Keeps `bytes` of a stream, half of its beginning and half of its end.
    pub(super) fn new(bytes: usize) -> Keeper {
        let tail_bytes = bytes / 2;
        let head_bytes = bytes.saturating_sub(tail_bytes);
        Keeper { head: Vec::new(), head_bytes, tail: Vec::new(), tail_bytes, at: 0, total: 0 }
    }

    pub(super) fn take(&mut self, piece: &[u8]) {
        self.total = self.total.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        let rest = append(&mut self.head, self.head_bytes, piece);
        // Of a piece longer than the ring only the end is seen again.
        let rest = rest.get(rest.len().saturating_sub(self.tail_bytes)..).unwrap_or_default();
        let mut rest = append(&mut self.tail, self.tail_bytes, rest);
        while let Some(room) = self.tail.get_mut(self.at..).filter(|_| !rest.is_empty()) {
            let (now, later) = rest.split_at(rest.len().min(room.len()));
            room.iter_mut().zip(now).for_each(|(old, new)| *old = *new);
            self.at = self.at.saturating_add(now.len());
            if self.at >= self.tail_bytes {
                self.at = 0;
            }
            rest = later;
        }
    }

    /// What was kept. Text is cut between two characters.
    pub(super) fn finish(self) -> Kept {
        let Keeper { mut head, mut tail, at, total, .. } = self;
        tail.rotate_left(at);
        let kept = |head: &[u8], tail: &[u8]| u64::try_from(head.len().saturating_add(tail.len())).unwrap_or(u64::MAX);
        if total <= kept(&head, &tail) {
            head.append(&mut tail);
        } else if let (Some(end), Some(start)) = (text_end(&head), text_start(&tail)) {
            head.truncate(end);
            tail.drain(..start);
        }
        let dropped = total.saturating_sub(kept(&head, &tail));
        Kept { head, tail, total, dropped }
    }
}

/// Adds as much of `piece` as fits into `most` bytes; the rest. Memory grows by doubling, and never beyond `most`.
fn append<'p>(to: &mut Vec<u8>, most: usize, piece: &'p [u8]) -> &'p [u8] {
    let (now, rest) = piece.split_at(piece.len().min(most.saturating_sub(to.len())));
    let wanted = to.len().saturating_add(now.len());
    if wanted > to.capacity() {
        to.reserve_exact(wanted.max(to.capacity().saturating_mul(2)).min(most).saturating_sub(to.len()));
    }
    to.extend_from_slice(now);
    rest
}

/// Where the last whole character of `head` ends, if it is text.
fn text_end(head: &[u8]) -> Option<usize> {
    match str::from_utf8(head) {
        Ok(_) => Some(head.len()),
        Err(error) => error.error_len().is_none().then_some(error.valid_up_to()),
    }
}

/// Where the first whole character of `tail` begins, if it is text.
fn text_start(tail: &[u8]) -> Option<usize> {
    // A character has three bytes at most behind its first.
    let start = tail.iter().take(3).take_while(|byte| matches!(byte, 0x80..=0xbf)).count();
    str::from_utf8(tail.get(start..)?).ok().map(|_| start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(bytes: usize, pieces: &[&[u8]]) -> Kept {
        let mut keeper = Keeper::new(bytes);
        for piece in pieces {
            keeper.take(piece);
            assert!(keeper.head.capacity() + keeper.tail.capacity() <= bytes, "it never holds more than it keeps");
        }
        keeper.finish()
    }

    fn check(bytes: usize, printed: &str, head: &str, tail: &str) {
        let printed = printed.as_bytes();
        let dropped = (printed.len() - head.len() - tail.len()) as u64;
        let expected = Kept { head: head.into(), tail: tail.into(), total: printed.len() as u64, dropped };
        assert_eq!(kept(bytes, &[printed]), expected, "whole");
        let each: Vec<&[u8]> = printed.chunks(1).collect();
        assert_eq!(kept(bytes, &each), expected, "byte by byte");
        for at in 0..=printed.len() {
            let (left, right) = printed.split_at(at);
            assert_eq!(kept(bytes, &[left, right]), expected, "cut at {at}");
        }
    }

    #[test]
    fn head_and_tail_are_kept_and_the_middle_is_counted() {
        check(10, "", "", "");
        check(10, "0123456789", "0123456789", "");
        check(10, "0123456789a", "01234", "6789a");
        check(9, "0123456789", "01234", "6789");
        check(4, "0123456789abcdefghijkl", "01", "kl");
        check(1, "0123", "0", "");
        check(0, "0123", "", "");
    }

    #[test]
    fn text_is_cut_between_characters() {
        check(8, "ééééé", "éé", "éé");
        check(6, "ééééé", "é", "é");
        check(8, "a€€€€a", "a€", "€a");
        check(6, "𝄞𝄞𝄞", "", "");
        check(10, "𝄞𝄞𝄞", "𝄞", "𝄞");
    }

    #[test]
    fn what_is_no_text_is_cut_where_it_must_be() {
        let printed: Vec<u8> = [0xff, 0xc3].repeat(6);
        let kept = kept(7, &[&printed]);
        assert_eq!((kept.head.as_slice(), kept.tail.as_slice()), (&printed[..4], &printed[9..]));
        assert_eq!((kept.total, kept.dropped), (12, 5));
        // Both halves have to be text.
        let half = [b"aa\xc3".as_slice(), &[b'x'; 9], b"\xff\xffb"].concat();
        let mut keeper = Keeper::new(6);
        keeper.take(&half);
        let kept = keeper.finish();
        assert_eq!((kept.head.as_slice(), kept.tail.as_slice()), (b"aa\xc3".as_slice(), b"\xff\xffb".as_slice()));
    }
}
