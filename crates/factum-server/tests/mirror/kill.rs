//! `kill -9` of the mirror, the source and the target, again and again, while the source is written
//! to: in the end everything is there once, in order, at its offset.

use std::time::Duration;

use factum_event::batch::Codec;

use crate::common::Dice;
use crate::common::client::Client;
use crate::common::server::{Home, Server};
use crate::common::work::*;
use crate::world::*;

const ROUNDS: usize = 12;
const PARTITIONS: i32 = 8;

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

#[test]
fn whatever_is_killed_every_record_is_there_once_in_order_at_its_offset() {
    let mut dice = Dice::from_environment("mirror, killed");
    let homes = [Home::new(), Home::new()];
    let mut source = start(&homes[0], &address(0));
    let mut target = start(&homes[1], &address(1));
    let mut number = 0;
    let mut client = Client::connect(source.kafka);
    create(&mut client, "orders", PARTITIONS);
    create(&mut client, "payments", 1);
    let command = |source: &Server, target: &Server, flags: &[&str]| {
        mirror(&source.kafka.to_string(), &target.kafka.to_string(), flags)
    };
    let mut running = Running(command(&source, &target, &[]).spawn().unwrap());
    for round in 0..ROUNDS {
        write(&mut Client::connect(source.kafka), &mut dice, &mut number);
        // Anywhere within what it does: a pause, not an event, is what is random here.
        std::thread::park_timeout(Duration::from_millis(dice.below(300)));
        match if round == 0 { 0 } else { dice.below(3) } {
            0 => {
                running.kill();
                running = Running(command(&source, &target, &[]).spawn().unwrap());
            }
            1 => source = restart(source, &homes[0]),
            _ => target = restart(target, &homes[1]),
        }
    }
    // Two at once do not disturb each other.
    let once = command(&source, &target, &["--once", "--verify"]).output().unwrap();
    let (good, said, errors) = result(&once);
    assert!(good, "{said}\n{errors}");
    assert_eq!(said["equal"], true);
    running.kill();
    let [mut theirs, mut ours] = [&source, &target].map(|server| Client::connect(server.kafka));
    for (topic, partitions) in [("orders", PARTITIONS), ("payments", 1)] {
        for partition in 0..partitions {
            let what = format!("{topic}-{partition}");
            assert_eq!(
                seen(&mut ours, topic, partition),
                seen(&mut theirs, topic, partition),
                "{what}"
            );
        }
    }
}
