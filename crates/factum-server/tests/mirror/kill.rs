//! `kill -9` of the mirror, the source and the target, again and again, while the source is written
//! to: in the end everything is there once, in order, at its offset.

use factum_event::batch::Codec;

use crate::common::Dice;
use crate::common::client::Client;
use crate::common::server::{Home, Server, until};
use crate::common::work::*;
use crate::world::*;

const ROUNDS: usize = 12;
const PARTITIONS: i32 = 8;
const TOPICS: [(&str, i32); 2] = [("orders", PARTITIONS), ("payments", 1)];

/// Addresses of this test's own: nobody else is to be reached where a server was killed.
fn address(last: u8) -> String {
    let [.., a, b, c] = std::process::id().to_be_bytes();
    format!("127.{}.{b}.{}:0", a | 0x80, c.wrapping_add(last).max(1))
}

fn start(home: &Home, at: &str) -> Server {
    home.serve_at([at, at], &["--group-initial-rebalance-delay-ms", "0"])
}

/// The same ports again.
fn restart(server: Server, home: &Home) -> Server {
    let addresses = [server.kafka.to_string(), server.http.to_string()];
    server.kill();
    home.serve_at([&addresses[0], &addresses[1]], &["--group-initial-rebalance-delay-ms", "0"])
}

/// Writes a random piece, in transactions too.
fn write(client: &mut Client, dice: &mut Dice, number: &mut i64) {
    for _ in 0..20 {
        let partition = dice.below(PARTITIONS as u64) as i32;
        let count = 1 + dice.below(40) as i64;
        let codec = Codec::ALL[dice.below(Codec::ALL.len() as u64) as usize];
        append(
            client,
            "orders",
            partition,
            batch_of(codec, None, &records(*number..*number + count)),
        );
        *number += count;
    }
    let mut transactions = Transactions::new(client, "writer");
    for _ in 0..4 {
        transactions.write(client, "payments", *number..*number + 3);
        *number += 3;
        transactions.end(client, dice.below(2) == 0);
    }
}

/// How far all partitions of a server are together.
fn ends(client: &mut Client) -> i64 {
    let places = TOPICS.into_iter();
    let places = places.flat_map(|(topic, count)| (0..count).map(move |at| (topic, at)));
    places.map(|(topic, partition)| end_of(client, topic, partition)).sum()
}

#[test]
fn whatever_is_killed_every_record_is_there_once_in_order_at_its_offset() {
    let mut dice = Dice::from_environment("mirror, killed");
    let homes = [Home::new(), Home::new()];
    let mut source = start(&homes[0], &address(0));
    let mut target = start(&homes[1], &address(1));
    let mut number = 0;
    let mut client = Client::connect(source.kafka);
    for (topic, count) in TOPICS {
        create(&mut client, topic, count);
    }
    let command = |source: &Server, target: &Server, flags: &[&str]| {
        mirror(&source.kafka.to_string(), &target.kafka.to_string(), flags)
    };
    let mut running = Running(command(&source, &target, &[]).spawn().unwrap());
    let mut ours = Client::connect(target.kafka);
    for (topic, count) in TOPICS {
        until("the copies are made", || partitions(&mut ours, topic) == count as usize);
    }
    let mut is_new = false;
    for round in 0..ROUNDS {
        let [mut theirs, mut ours] = [&source, &target].map(|one| Client::connect(one.kafka));
        write(&mut theirs, &mut dice, &mut number);
        // Anywhere within what it does: as it begins anew, or once a random part is copied. One
        // that has just started must have met both: who reaches nobody at first gives up.
        if std::mem::take(&mut is_new) || dice.below(3) > 0 {
            let (here, there) = (ends(&mut ours), ends(&mut theirs));
            let goal = there - dice.below((there - here).max(1) as u64) as i64;
            until("a part is copied", || ends(&mut ours) >= goal);
        }
        match if round == 0 { 0 } else { dice.below(3) } {
            0 => {
                is_new = true;
                running.kill();
                running = Running(command(&source, &target, &[]).spawn().unwrap());
            }
            1 => source = restart(source, &homes[0]),
            _ => target = restart(target, &homes[1]),
        }
    }
    let [mut theirs, mut ours] = [&source, &target].map(|one| Client::connect(one.kafka));
    let end = ends(&mut theirs);
    until("the mirror that runs has caught up", || ends(&mut ours) == end);
    // Two at once do not disturb each other.
    let once = command(&source, &target, &["--once", "--verify"]).output().unwrap();
    let (good, said, errors) = result(&once);
    assert!(good, "{said}\n{errors}");
    assert_eq!(said["equal"], true);
    running.kill();
    for (topic, count) in TOPICS {
        for partition in 0..count {
            let what = format!("{topic}-{partition}");
            assert_eq!(
                seen(&mut ours, topic, partition),
                seen(&mut theirs, topic, partition),
                "{what}"
            );
        }
    }
}
