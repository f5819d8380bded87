use proptest::prelude::*;

use super::*;
use crate::wal::Lsn;

/// Builds messages the way a server does.
#[derive(Default)]
struct Wire(Vec<u8>);

impl Wire {
    fn tag(mut self, tag: u8) -> Self {
        self.0.push(tag);
        self
    }
    fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }
    fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }
    fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }
    fn text(mut self, value: &str) -> Self {
        self.0.extend(value.as_bytes());
        self.tag(0)
    }
    fn field(self, field: &Field<'_>) -> Self {
        let with = |wire: Self, tag: u8, value: &[u8]| {
            let mut wire = wire.tag(tag).u32(u32::try_from(value.len()).unwrap());
            wire.0.extend(value);
            wire
        };
        match field {
            Field::Null => self.tag(b'n'),
            Field::Unchanged => self.tag(b'u'),
            Field::Text(value) => with(self, b't', value),
            Field::Binary(value) => with(self, b'b', value),
        }
    }
    fn tuple(self, fields: &[Field<'_>]) -> Self {
        let start = self.u16(u16::try_from(fields.len()).unwrap());
        fields.iter().fold(start, Wire::field)
    }
}

fn fields<'a>(tuple: &Tuple<'a>) -> Vec<Field<'a>> {
    tuple.fields().collect()
}

#[test]
fn begin_and_commit_carry_their_positions() {
    let bytes = Wire::default()
        .tag(b'B')
        .u64(0x16_B374_D848)
        .u64(5)
        .u32(733)
        .0;
    assert_eq!(
        decode(&bytes),
        Ok(Message::Begin {
            commit_lsn: Lsn(0x16_B374_D848),
            commit_time: 5,
            xid: 733
        })
    );
    let bytes = Wire::default().tag(b'C').tag(0).u64(1).u64(2).u64(3).0;
    assert_eq!(
        decode(&bytes),
        Ok(Message::Commit {
            commit_lsn: Lsn(1),
            end_lsn: Lsn(2),
            commit_time: 3
        })
    );
}

#[test]
fn a_relation_tells_its_columns_and_its_identity() {
    let bytes = Wire::default()
        .tag(b'R')
        .u32(16384)
        .text("")
        .text("t")
        .tag(b'f')
        .u16(1)
        .tag(1)
        .text("id")
        .u32(23)
        .u32(u32::MAX)
        .0;
    let Ok(Message::Relation(relation)) = decode(&bytes) else {
        panic!()
    };
    assert_eq!(
        (
            relation.schema.as_str(),
            relation.name.as_str(),
            relation.identity
        ),
        ("pg_catalog", "t", b'f')
    );
    assert_eq!(
        relation.columns,
        [RelationColumn {
            in_identity: true,
            name: "id".into(),
            type_oid: 23,
            type_modifier: -1
        }]
    );
}

#[test]
fn an_update_carries_the_old_row_that_the_identity_gives() {
    let new = [Field::Text(b"1"), Field::Unchanged, Field::Null];
    let old = [Field::Text(b"0"), Field::Text(b"long"), Field::Null];
    let update = |old_tag: Option<u8>| {
        let wire = Wire::default().tag(b'U').u32(7);
        let wire = match old_tag {
            Some(tag) => wire.tag(tag).tuple(&old),
            None => wire,
        };
        wire.tag(b'N').tuple(&new).0
    };
    for tag in [None, Some(b'K'), Some(b'O')] {
        let bytes = update(tag);
        let Ok(Message::Change(Change {
            relation: 7,
            row: RowChange::Update { before, after },
        })) = decode(&bytes)
        else {
            panic!()
        };
        assert_eq!(fields(&after), new);
        match (tag, before) {
            (None, Before::Absent) => {}
            (Some(b'K'), Before::Key(tuple)) | (Some(b'O'), Before::Full(tuple)) => {
                assert_eq!(fields(&tuple), old)
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn truncate_origin_type_and_logical_messages_are_read() {
    let bytes = Wire::default().tag(b'T').u32(2).tag(3).u32(10).u32(11).0;
    assert_eq!(
        decode(&bytes),
        Ok(Message::Truncate {
            relations: vec![10, 11],
            cascade: true,
            restart_identity: true
        })
    );
    let bytes = Wire::default().tag(b'O').u64(9).text("elsewhere").0;
    assert_eq!(
        decode(&bytes),
        Ok(Message::Origin {
            commit_lsn: Lsn(9),
            name: "elsewhere".into()
        })
    );
    let bytes = Wire::default()
        .tag(b'Y')
        .u32(99)
        .text("public")
        .text("mood")
        .0;
    assert_eq!(
        decode(&bytes),
        Ok(Message::Type {
            oid: 99,
            schema: "public".into(),
            name: "mood".into()
        })
    );
    let mut bytes = Wire::default().tag(b'M').tag(1).u64(4).text("app").u32(2).0;
    bytes.extend(b"hi");
    assert_eq!(
        decode(&bytes),
        Ok(Message::Logical {
            transactional: true,
            lsn: Lsn(4),
            prefix: "app".into(),
            content: b"hi"
        })
    );
}

#[test]
fn what_does_not_add_up_is_refused() {
    assert_eq!(decode(b""), Err(DecodeError::Truncated("message kind")));
    assert_eq!(
        decode(b"?"),
        Err(DecodeError::Unknown("message kind", b'?'))
    );
    let negative = Wire::default()
        .tag(b'I')
        .u32(1)
        .tag(b'N')
        .u16(1)
        .tag(b't')
        .u32(u32::MAX)
        .0;
    assert_eq!(
        decode(&negative),
        Err(DecodeError::NegativeLength("column's length"))
    );
    let mut excess = Wire::default()
        .tag(b'I')
        .u32(1)
        .tag(b'N')
        .tuple(&[Field::Null])
        .0;
    excess.push(0);
    assert_eq!(decode(&excess), Err(DecodeError::Excess("message", 1)));
}

proptest! {
    #[test]
    fn any_bytes_give_a_message_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn any_bytes_behind_a_known_tag_give_a_message_or_an_error(
        tag in proptest::sample::select(b"BCORYIUDTM".to_vec()),
        tail in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut bytes = vec![tag];
        bytes.extend(tail);
        if let Ok(Message::Change(Change { row: RowChange::Insert(tuple), .. })) = decode(&bytes) {
            prop_assert_eq!(tuple.fields().count(), usize::from(tuple.columns()));
        }
    }

    #[test]
    fn a_row_comes_out_as_it_went_in_and_no_prefix_of_it_is_a_row(
        values in proptest::collection::vec(
            prop_oneof![Just(None), proptest::collection::vec(any::<u8>(), 0..20).prop_map(Some)], 0..20),
        cut in any::<proptest::sample::Index>(),
    ) {
        let row: Vec<Field<'_>> =
            values.iter().map(|value| value.as_ref().map_or(Field::Null, |value| Field::Text(value))).collect();
        let bytes = Wire::default().tag(b'I').u32(1).tag(b'N').tuple(&row).0;
        let Ok(Message::Change(Change { row: RowChange::Insert(tuple), .. })) = decode(&bytes) else {
            return Err(TestCaseError::fail("not an insert"));
        };
        prop_assert_eq!(fields(&tuple), row);
        prop_assert!(decode(&bytes[..cut.index(bytes.len())]).is_err());
    }
}
