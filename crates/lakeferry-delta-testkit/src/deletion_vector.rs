//! Deletion vectors, which no writer at hand makes.

use serde_json::{Value, json};

const MAGIC: u32 = 1_681_511_377;
const DIGITS: &[u8; 85] =
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/// A deletion vector in the log (Delta protocol, "Deletion Vector Format"): Z85 of the magic number
/// and a 64-bit Roaring bitmap with one array container. `rows` ascend, and there is one at least.
pub fn inline_vector(rows: &[u16]) -> Value {
    let last = u16::try_from(rows.len() - 1).expect("fewer rows than a container holds");
    let mut bytes = MAGIC.to_le_bytes().to_vec();
    bytes.extend(1u64.to_le_bytes());
    for word in [0, 12_346, 1] {
        bytes.extend(u32::to_le_bytes(word));
    }
    for half in [0, last] {
        bytes.extend(half.to_le_bytes());
    }
    bytes.extend(16u32.to_le_bytes());
    for row in rows {
        bytes.extend(row.to_le_bytes());
    }
    let size = bytes.len();
    bytes.resize(size.next_multiple_of(4), 0);
    json!({
        "storageType": "i", "pathOrInlineDv": z85(&bytes),
        "sizeInBytes": size, "cardinality": rows.len(),
    })
}

fn z85(bytes: &[u8]) -> String {
    let digits = bytes.chunks_exact(4).flat_map(|chunk| {
        let word = chunk
            .iter()
            .fold(0u32, |word, byte| word << 8 | u32::from(*byte));
        let digit = move |power| DIGITS[(word / 85u32.pow(power) % 85) as usize];
        (0..5).rev().map(move |power| char::from(digit(power)))
    });
    digits.collect()
}
