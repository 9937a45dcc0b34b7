//! What comes, and what is refused; the server's own word on all of it is in the target's tests.

use arrow_array::{Decimal128Array, Float64Array, Int64Array};

use super::*;

fn misfits(converted: Option<Converted>) -> Vec<String> {
    let misfits = converted.unwrap().unwrap_err();
    misfits
        .into_iter()
        .map(|(row, what)| format!("{row}: {what}"))
        .collect()
}

fn array(of: impl Array + 'static) -> ArrayRef {
    Arc::new(of)
}

#[test]
fn numbers_stay_what_they_are() {
    let numeric = |precision, scale| PgType::Scalar(Scalar::Numeric { precision, scale });
    let amounts = Decimal128Array::from(vec![Some(12_500), None, Some(-100)]);
    let amounts = array(amounts.with_precision_and_scale(12, 4).unwrap());
    let narrow = column(&amounts, numeric(4, 2), false).unwrap().unwrap();
    let expected = Decimal128Array::from(vec![Some(125), None, Some(-1)]);
    let expected = expected.with_precision_and_scale(4, 2).unwrap();
    assert_eq!(*narrow, expected);
    assert_eq!(
        misfits(column(&amounts, numeric(4, 1), false)),
        [
            "0: a number with more digits after the point than numeric(4,1) keeps",
            "2: a number with more digits after the point than numeric(4,1) keeps"
        ]
    );
    let ids = array(Int64Array::from(vec![Some(i64::MAX), None, Some(7)]));
    assert_eq!(
        misfits(column(&ids, PgType::Scalar(Scalar::Integer), true)),
        ["0: a number that is too large for integer"]
    );
    assert_eq!(
        misfits(column(&ids, numeric(38, 37), false)),
        ["0: a number that is too large for numeric(38,37)"]
    );
    let texts = column(&ids, PgType::Scalar(Scalar::Text), true)
        .unwrap()
        .unwrap();
    let expected = StringArray::from(vec![Some("9223372036854775807"), None, Some("7")]);
    assert_eq!(*texts, expected);
    let floats = array(Float64Array::from(vec![0.5, 0.1, f64::NAN, 1e300, -0.0]));
    assert_eq!(
        misfits(column(&floats, PgType::Scalar(Scalar::Real), false)),
        [
            "1: a number that real would round",
            "3: a number that real would round"
        ]
    );
}

#[test]
fn texts_are_what_the_server_reads() {
    let canonical = "00112233-4455-6677-8899-aabbccddeeff";
    for uuid in [
        canonical,
        "{00112233-4455-6677-8899-AABBCCDDEEFF}",
        "00112233445566778899aabbccddeeff",
        "0011-2233-4455-6677-8899-aabb-ccdd-eeff",
    ] {
        let read = texts::uuid(uuid, false).unwrap();
        assert_eq!(uuid::Uuid::from_bytes(read).to_string(), canonical);
        assert_eq!(texts::uuid(uuid, true).is_ok(), uuid == canonical);
    }
    for uuid in [
        "",
        "{}",
        "001",
        &canonical[1..],
        "00-112233445566778899aabbccddeeff",
    ] {
        assert!(texts::uuid(uuid, false).is_err(), "{uuid}");
    }
    let read = |text| texts::address(text, false).unwrap();
    assert_eq!(read("10.1.2.3/8"), [2, 8, 0, 4, 10, 1, 2, 3]);
    assert_eq!(read("::1")[..5], [3, 128, 0, 16, 0]);
    assert_eq!(
        texts::address("10.0.0.0/8", true).unwrap()[..4],
        [2, 8, 1, 4]
    );
    for wrong in ["10.1.2.3/8", "10.1/16", "1.2.3.4/33", "1.2.3.4/+8", "x", ""] {
        assert!(texts::address(wrong, true).is_err(), "{wrong}");
    }
    for mac in [
        "08:00:2b:01:02:03",
        "08002B-010203",
        "0800.2b01.0203",
        "08002b010203",
    ] {
        assert_eq!(texts::mac_address(mac), Ok([8, 0, 0x2b, 1, 2, 3]));
    }
    for wrong in [
        "08:00-2b:01:02:03",
        "08:00:2b:01:02",
        "0800:2b01:0203",
        "08.00.2b.01.02.03",
    ] {
        assert!(texts::mac_address(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn json_that_the_server_would_refuse() {
    let deep = |levels| "[".repeat(levels) + &"]".repeat(levels);
    for (text, is_json, is_jsonb) in [
        (r#"{"a": [1, -2.5e3, "x\"\\", null]}"#, true, true),
        ("1e400", true, true),
        ("1e131072", true, false),
        ("1e-16384", true, false),
        (r#""😀""#, true, true),
        (r#""\ud83d\ude00 \\ud83d""#, true, true),
        (r#""\ud83d""#, true, false),
        (r#""\ude00""#, true, false),
        (r#""\ud83dx\ude00""#, true, false),
        ("", false, false),
        ("{a: 1}", false, false),
        ("01", false, false),
        ("NaN", false, false),
        (&deep(1_000), true, true),
        (&deep(1_001), false, false),
    ] {
        assert_eq!(json::json_misfit(text).is_none(), is_json, "{text:.40}");
        assert_eq!(json::jsonb_misfit(text).is_none(), is_jsonb, "{text:.40}");
    }
}

#[test]
fn texts_are_counted_in_characters() {
    let texts = array(StringArray::from(vec!["äöü", "äöü ", "abcd"]));
    assert_eq!(
        misfits(column(&texts, PgType::Asked(Asked::Varchar(3)), true)),
        [
            "1: a text of more than 3 characters",
            "2: a text of more than 3 characters"
        ]
    );
}
