//! Values as texts, and texts as what they say: uuids and addresses, as the server takes them by COPY
//! (`uuid_recv`, `network_recv` and `macaddr_recv` in `src/backend/utils/adt`).

use std::{net::IpAddr, sync::Arc};

use arrow_array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, Int8Array, Int16Array, Int32Array, Int64Array,
    StringArray,
};

/// The families of addresses (`PGSQL_AF_INET` and the next).
const IPV4: u8 = 2;
const IPV6: u8 = 3;

/// What text makes of them; none where that is not the same in all sessions.
pub(super) fn of(array: &ArrayRef) -> Option<ArrayRef> {
    fn told<T: ToString>(values: impl Iterator<Item = Option<T>>) -> ArrayRef {
        let texts = values.map(|value| value.map(|value| value.to_string()));
        Arc::new(texts.collect::<StringArray>())
    }
    let any = array.as_any();
    if any.is::<StringArray>() {
        return Some(array.clone());
    }
    if let Some(array) = any.downcast_ref::<Decimal128Array>() {
        let texts =
            (0..array.len()).map(|row| array.is_valid(row).then(|| array.value_as_string(row)));
        return Some(Arc::new(texts.collect::<StringArray>()));
    }
    Some(if let Some(array) = any.downcast_ref::<Int8Array>() {
        told(array.iter())
    } else if let Some(array) = any.downcast_ref::<Int16Array>() {
        told(array.iter())
    } else if let Some(array) = any.downcast_ref::<Int32Array>() {
        told(array.iter())
    } else if let Some(array) = any.downcast_ref::<Int64Array>() {
        told(array.iter())
    } else {
        told(any.downcast_ref::<BooleanArray>()?.iter())
    })
}

/// As the server reads a uuid: digits in either case, braces around, hyphens after any four of them.
/// In a key, only as the server writes one.
pub(super) fn uuid(text: &str, is_key: bool) -> Result<[u8; 16], String> {
    let wrong = || "a text that is no uuid".to_owned();
    let inner = match (text.strip_prefix('{'), text.strip_suffix('}')) {
        (None, None) => text,
        (Some(rest), Some(_)) => rest.strip_suffix('}').ok_or_else(wrong)?,
        _ => return Err(wrong()),
    };
    let mut bytes = [0; 16];
    let mut rest = inner.as_bytes();
    for (place, byte) in bytes.iter_mut().enumerate() {
        let (pair, after) = rest.split_first_chunk::<2>().ok_or_else(wrong)?;
        *byte = hex(*pair).ok_or_else(wrong)?;
        rest = match after {
            [b'-', after @ ..] if place % 2 == 1 && place < 15 => after,
            _ => after,
        };
    }
    if !rest.is_empty() {
        return Err(wrong());
    }
    if is_key && uuid::Uuid::from_bytes(bytes).to_string() != text {
        return Err(
            "a uuid that is not written in lower case with four hyphens, as in a key it must be"
                .to_owned(),
        );
    }
    Ok(bytes)
}

/// An address in full, with the bits of its network or without; of a network, no more than these.
pub(super) fn address(text: &str, is_network: bool) -> Result<Vec<u8>, String> {
    let kind = if is_network { "network" } else { "address" };
    let wrong = || format!("a text that is no {kind}, in full");
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let (family, bytes) = match address.parse().map_err(|_| wrong())? {
        IpAddr::V4(address) => (IPV4, address.octets().to_vec()),
        IpAddr::V6(address) => (IPV6, address.octets().to_vec()),
    };
    let all = bytes.len() * 8;
    let bits = match bits {
        None => all,
        Some(bits) => {
            let is_number = !bits.is_empty() && bits.bytes().all(|digit| digit.is_ascii_digit());
            let bits = bits.parse().ok().filter(|bits| is_number && *bits <= all);
            bits.ok_or_else(wrong)?
        }
    };
    let is_set = |bit: usize| bytes[bit / 8] >> (7 - bit % 8) & 1 == 1;
    if is_network && (bits..all).any(is_set) {
        return Err("a network with bits to the right of its mask".to_owned());
    }
    let head = [family, bits as u8, u8::from(is_network), bytes.len() as u8];
    Ok([&head[..], &bytes].concat())
}

/// Twelve digits in either case, in groups of two, four or six, or all at once.
pub(super) fn mac_address(text: &str) -> Result<[u8; 6], String> {
    let wrong = || "a text that is no mac address".to_owned();
    let is_separator = |letter: char| matches!(letter, ':' | '-' | '.');
    let separators: Vec<char> = text
        .chars()
        .filter(|letter| is_separator(*letter))
        .collect();
    let lengths: Vec<usize> = text.split(is_separator).map(str::len).collect();
    let known: &[char] = match lengths[..] {
        [2, 2, 2, 2, 2, 2] | [6, 6] => &[':', '-'],
        [4, 4, 4] => &['.', '-'],
        [12] => &[],
        _ => return Err(wrong()),
    };
    let one = separators.first();
    if !separators
        .iter()
        .all(|each| known.contains(each) && Some(each) == one)
    {
        return Err(wrong());
    }
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !is_separator(char::from(*byte)))
        .collect();
    let mut bytes = [0; 6];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = hex([pair[0], pair[1]]).ok_or_else(wrong)?;
    }
    Ok(bytes)
}

fn hex(pair: [u8; 2]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let [high, low] = pair.map(digit);
    u8::try_from(high? << 4 | low?).ok()
}
