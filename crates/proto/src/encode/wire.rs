//! Fields of a message, one behind the other. A value that is its type's default is not
//! written, as proto3 has it.

use domain::Timestamp;

use crate::convert::optional_millis;

const VARINT: u32 = 0;
const LENGTH_DELIMITED: u32 = 2;

/// A varint's seven bits, and the bit that says that more follow.
const BITS: u32 = 7;
const MORE: u8 = 0x80;
/// Of 64 bits.
const MOST_DIGITS: usize = 10;

/// What has been written of a message.
#[derive(Debug)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }

    /// `uint32`, `uint64`, `bool`.
    pub(super) fn uint(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.present_uint(field, value);
        }
    }

    /// The same as a member of a `oneof`, which is written whatever its value.
    pub(super) fn present_uint(&mut self, field: u32, value: u64) {
        self.key(field, VARINT);
        self.varint(value);
    }

    /// `int64`: a negative one as its two's complement.
    pub(super) fn int(&mut self, field: u32, value: i64) {
        self.uint(field, value.cast_unsigned());
    }

    /// An instant that may be missing: 0 then.
    pub(super) fn instant(&mut self, field: u32, at: Option<Timestamp>) {
        self.int(field, optional_millis(at));
    }

    /// An `enum`, by its number.
    pub(super) fn word(&mut self, field: u32, number: i32) {
        self.int(field, number.into());
    }

    pub(super) fn text(&mut self, field: u32, value: &str) {
        self.bytes(field, value.as_bytes());
    }

    pub(super) fn bytes(&mut self, field: u32, value: &[u8]) {
        if !value.is_empty() {
            self.present_bytes(field, value);
        }
    }

    /// The same as a member of a `oneof`.
    pub(super) fn present_bytes(&mut self, field: u32, value: &[u8]) {
        self.key(field, LENGTH_DELIMITED);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// A message within the message.
    pub(super) fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        self.key(field, LENGTH_DELIMITED);
        // Its length is known behind it, and has one byte in most; what has more moves.
        let place = self.0.len();
        self.0.push(0);
        write(self);
        let end = self.0.len();
        let (length, digits) = varint((end - place - 1) as u64);
        self.0
            .splice(place..=place, length[..digits].iter().copied());
    }

    fn key(&mut self, field: u32, wire_type: u32) {
        self.varint(u64::from(field << 3 | wire_type));
    }

    fn varint(&mut self, value: u64) {
        let (bytes, digits) = varint(value);
        self.0.extend_from_slice(&bytes[..digits]);
    }
}

/// Seven bits a byte, the lowest first, and how many bytes of the array that takes.
fn varint(mut value: u64) -> ([u8; MOST_DIGITS], usize) {
    let mut bytes = [0; MOST_DIGITS];
    let mut digits = 0;
    loop {
        bytes[digits] = (value & u64::from(!MORE)) as u8;
        digits += 1;
        value >>= BITS;
        if value == 0 {
            return (bytes, digits);
        }
        bytes[digits - 1] |= MORE;
    }
}
