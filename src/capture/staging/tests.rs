use bytes::Bytes;
use proptest::prelude::*;

use super::*;

/// A message of protocol version 1 that says which one it is.
fn row(number: u32) -> Vec<u8> {
    [b"I".as_slice(), &[0, 0, 0, 7], &number.to_be_bytes()].concat()
}

fn shape(oid: u32, name: u8) -> Vec<u8> {
    [b"R".as_slice(), &oid.to_be_bytes(), &[name]].concat()
}

fn received(message: Vec<u8>, at: u64) -> Received {
    Received::Data {
        at: Lsn(at),
        message: message.into(),
    }
}

/// A stream that a test writes, and what comes out of it.
#[derive(Default)]
struct Wire {
    staging: Staging,
    at: u64,
    out: Vec<Bytes>,
}

impl Wire {
    fn send(&mut self, message: Vec<u8>) {
        self.at += 10;
        let taken = self.staging.take(received(message, self.at)).unwrap();
        self.keep(taken);
        while let Some(released) = self.staging.next().unwrap() {
            self.keep(released);
        }
    }

    fn keep(&mut self, received: Received) {
        if let Received::Data { message, .. } = received {
            self.out.push(message);
        }
    }

    fn start(&mut self, xid: u32) {
        self.send([b"S".as_slice(), &xid.to_be_bytes(), &[0]].concat());
    }

    fn stop(&mut self) {
        self.send(b"E".to_vec());
    }

    /// A message inside of a block.
    fn inside(&mut self, xid: u32, message: &[u8]) {
        let (kind, rest) = message.split_at(1);
        self.send([kind, &xid.to_be_bytes(), rest].concat());
    }

    fn block(&mut self, xid: u32, messages: &[(u32, Vec<u8>)]) {
        self.start(xid);
        for (part, message) in messages {
            self.inside(*part, message);
        }
        self.stop();
    }

    fn commit_message(xid: u32) -> Vec<u8> {
        let numbers = [5, 6, 7_u64].map(u64::to_be_bytes);
        [
            b"c".as_slice(),
            &xid.to_be_bytes(),
            &[0],
            numbers.as_flattened(),
        ]
        .concat()
    }

    fn commit(&mut self, xid: u32) {
        self.send(Self::commit_message(xid));
    }

    fn abort(&mut self, xid: u32, part: u32) {
        self.send([b"A".as_slice(), &xid.to_be_bytes(), &part.to_be_bytes()].concat());
    }

    /// What came out, without the begins and commits.
    fn rows(&self) -> Vec<Vec<u8>> {
        let rows = self.out.iter().filter(|it| !matches!(it[0], b'B' | b'C'));
        rows.map(|it| it.to_vec()).collect()
    }
}

#[test]
fn blocks_of_transactions_come_out_whole_in_the_order_of_their_commits() {
    let mut wire = Wire::default();
    wire.block(1, &[(1, row(1)), (1, row(2))]);
    wire.block(5, &[(5, row(50))]);
    wire.send(row(100));
    wire.block(1, &[(1, row(3))]);
    assert_eq!(wire.rows(), [row(100)]);
    wire.commit(5);
    wire.commit(1);
    let kinds: Vec<u8> = wire.out.iter().map(|it| it[0]).collect();
    assert_eq!(kinds, b"IBICBIIIC");
    assert_eq!(wire.rows(), [row(100), row(50), row(1), row(2), row(3)]);
    assert_eq!((wire.staging.bytes(), wire.staging.in_memory), (0, 0));
}

#[test]
fn what_is_rolled_back_comes_out_nowhere() {
    let mut wire = Wire::default();
    wire.block(1, &[(1, row(1)), (2, row(2)), (3, row(3))]);
    wire.abort(1, 3);
    wire.abort(1, 2);
    wire.block(5, &[(5, row(50))]);
    wire.abort(5, 5);
    wire.block(1, &[(4, row(4))]);
    wire.abort(9, 9);
    wire.commit(1);
    assert_eq!(wire.rows(), [row(1), row(4)]);
    assert_eq!((wire.staging.bytes(), wire.staging.in_memory), (0, 0));
}

#[test]
fn a_shape_outlives_the_savepoint_that_it_came_in() {
    let mut wire = Wire::default();
    wire.block(
        1,
        &[
            (1, row(1)),
            (2, shape(7, b'a')),
            (2, row(2)),
            (2, shape(8, b'b')),
        ],
    );
    wire.abort(1, 2);
    wire.block(1, &[(1, row(3))]);
    wire.commit(1);
    assert_eq!(
        wire.rows(),
        [row(1), shape(7, b'a'), shape(8, b'b'), row(3)]
    );
}

#[test]
fn a_repeated_shape_is_staged_once_and_a_changed_one_in_its_place() {
    let mut wire = Wire::default();
    wire.block(1, &[(1, shape(7, b'a')), (1, row(1))]);
    wire.block(
        1,
        &[
            (1, shape(7, b'a')),
            (1, row(2)),
            (1, shape(7, b'b')),
            (1, row(3)),
        ],
    );
    wire.commit(1);
    assert_eq!(
        wire.rows(),
        [shape(7, b'a'), row(1), row(2), shape(7, b'b'), row(3)]
    );
}

#[test]
fn a_shape_that_came_between_is_told_again_behind_an_older_one() {
    let mut wire = Wire::default();
    wire.block(1, &[(1, shape(7, b'a')), (1, row(1)), (1, shape(8, b'x'))]);
    wire.send(shape(7, b'b'));
    wire.send(shape(8, b'x'));
    wire.commit(1);
    assert_eq!(
        wire.rows(),
        [
            shape(7, b'b'),
            shape(8, b'x'),
            shape(7, b'a'),
            row(1),
            shape(8, b'x'),
            shape(7, b'b')
        ]
    );
    assert_eq!(wire.out.last().unwrap()[0], b'C');
}

#[test]
fn a_transaction_that_does_not_tell_what_was_rolled_back_is_read_as_a_whole() {
    let message = |prefix: &str, at: u64| {
        let mut bytes = vec![b'M', 1];
        bytes.extend(at.to_be_bytes());
        bytes.extend(prefix.as_bytes());
        bytes.extend([0, 0, 0, 0, 1, b'x']);
        bytes
    };
    let mut wire = Wire::default();
    wire.block(1, &[(1, row(1)), (1, message("others", 30)), (2, row(2))]);
    wire.abort(1, 2);
    wire.commit(1);
    assert_eq!(wire.rows(), [row(1)]);
    wire.block(
        11,
        &[
            (11, row(1)),
            (11, message("rowhook.emit", 100)),
            (12, row(2)),
        ],
    );
    wire.abort(11, 12);
    let fault = wire
        .staging
        .take(received(Wire::commit_message(11), 0))
        .unwrap_err();
    assert!(fault.is_transient(), "{fault}");
    assert_eq!(wire.staging.whole_until(), Some(Lsn(6)));
}

#[test]
fn what_stands_in_a_wrong_place_is_refused() {
    for messages in [
        vec![b"E".to_vec()],
        vec![Wire::commit_message(1)],
        vec![b"S\0\0\0\x01\0".to_vec(), b"S\0\0\0\x02\0".to_vec()],
        vec![b"S\0\0\0\x01\0".to_vec(), b"Bxxxxxxxx".to_vec()],
        vec![b"S\0\0".to_vec()],
    ] {
        let mut staging = Staging::default();
        let taken = messages.into_iter().map(|it| staging.take(received(it, 0)));
        let fault = taken.last().unwrap().unwrap_err();
        assert_eq!(fault.exit_code(), 70);
    }
}

#[test]
fn only_a_bounded_part_is_kept_in_memory_and_all_of_it_comes_back() {
    let large = |number: u32| [row(number), vec![b'x'; 100_000]].concat();
    let mut wire = Wire::default();
    for number in 0..100 {
        for xid in [1, 2, 3] {
            wire.block(xid, &[(xid, large(number * 10 + xid))]);
            assert!(wire.staging.in_memory <= IN_MEMORY);
            let held: usize = wire
                .staging
                .stages
                .values()
                .map(Stage::bytes_in_memory)
                .sum();
            assert_eq!(wire.staging.in_memory, held);
        }
    }
    assert!(wire.staging.bytes() > 30_000_000);
    wire.abort(3, 3);
    wire.commit(2);
    wire.commit(1);
    let expected = [2, 1].into_iter();
    let expected = expected.flat_map(|xid| (0..100).map(move |number| number * 10 + xid));
    let expected: Vec<Vec<u8>> = expected.map(large).collect();
    assert!(wire.rows() == expected);
    assert_eq!((wire.staging.bytes(), wire.staging.in_memory), (0, 0));
}

proptest! {
    /// A pile that is cut and spilled anywhere gives back what a list would.
    #[test]
    fn a_pile_gives_back_what_was_not_cut(
        steps in proptest::collection::vec((0..4_u8, 0..200_usize, any::<proptest::sample::Index>()), 0..60),
    ) {
        let mut pile = pile::Pile::default();
        let mut kept: Vec<(u64, Vec<u8>)> = Vec::new();
        for (step, length, place) in steps {
            match step {
                0 if !kept.is_empty() => {
                    let place = place.index(kept.len());
                    pile.cut(kept[place].0).unwrap();
                    kept.truncate(place);
                }
                1 => pile.spill().unwrap(),
                _ => {
                    let message = vec![b'I'; length + 1];
                    kept.push((pile.end(), message.clone()));
                    pile.add(b'I', &message[1..]);
                }
            }
        }
        let mut reading = pile.read();
        for (_, message) in kept {
            prop_assert_eq!(reading.next().unwrap(), Some(message.into()));
        }
        prop_assert_eq!(reading.next().unwrap(), None);
        prop_assert_eq!(reading.bytes(), 0);
    }
}
