//! What a GiB takes of the server's processor, beside one copy of the same bytes.

use super::{Ground, RECORD_BYTES};
use crate::bench::client::{Client, shown};
use crate::bench::null::{self, NullBroker};
use crate::bench::process::cpu_seconds;
use crate::bench::ratio::{Aim, Pair, compare};
use crate::bench::report::{Section, row};
use crate::bench::server::Server;
use crate::bench::{GIB, failed};
use crate::step::Failure;

/// Processor seconds of whoever serves, per GiB of values.
struct Cost {
    written: f64,
    /// By the first, the second and the third reader.
    read: [f64; 3],
}

/// Writes and reads the same bytes with Factum, with a broker that forgets, and by a mere copy.
pub(crate) fn processor(ground: &Ground<'_>) -> Result<Section, Failure> {
    let (size, count) = (RECORD_BYTES.to_string(), ground.read_records().to_string());
    let write = ["produce", "--record-size", &size, "--records", &count];
    let read = ["consume", "--record-size", &size, "--seconds", "3600"];
    let null_arguments = ["--record-size", &size, "--records", &count];
    let file = ground.directory.join("copy");
    let bytes = ground.read_records() * RECORD_BYTES;
    let mut factum = [const { Vec::new() }; 4];
    let mut null = [const { Vec::new() }; 4];
    for round in 1..=ground.rounds {
        eprintln!("   pair {round}");
        let copied = [null::receive(&file, bytes)?, null::send(&file)?];
        std::fs::remove_file(&file).map_err(|source| failed(&file, source))?;
        let server = Server::start(ground.directory)?;
        let ours = cost(ground.client, server.kafka, server.process(), &write, &read)?;
        drop(server);
        let broker = NullBroker::serve(&null_arguments)?;
        let least = cost(ground.client, broker.address, broker.process(), &write, &read)?;
        for (pairs, cost) in [(&mut factum, ours), (&mut null, least)] {
            pairs[0].push(Pair { reference: copied[0], measured: cost.written });
            for (pairs, measured) in pairs[1..].iter_mut().zip(cost.read) {
                pairs.push(Pair { reference: copied[1], measured });
            }
        }
    }
    let mut body = String::from(
        "Of the serving process alone, user and system. The copy is one process that moves the \
         same bytes from a socket into a file and flushes it once, and back by sendfile, from the \
         page cache. Factum writes past that, and who reads first reads past it: who reads second \
         fills it.\n\n\
         | processor seconds per GiB of values | one copy | broker | ratio | of the pairs |\n\
         |---|---:|---:|---:|---:|\n",
    );
    for (who, pairs) in [("Factum", &factum), ("null", &null)] {
        for (at, verb) in
            ["written", "read first", "read second", "read third"].into_iter().enumerate()
        {
            let [copy, broker, ratio, spread, _] = compare(&pairs[at]).cells(3, Aim::None);
            row(&mut body, &[&format!("{who}, {verb}"), &copy, &broker, &ratio, &spread]);
        }
    }
    let null = format!("null-broker serve {}", null_arguments.join(" "));
    let copies = ["receive", "send"].map(|verb| format!("null-broker {verb} --file copy"));
    let mut commands = vec![null, shown(&write), shown(&read)];
    commands.extend(copies);
    Ok(Section { title: "Processor time".to_owned(), body, commands })
}

fn cost(
    client: &Client,
    broker: std::net::SocketAddr,
    process: u32,
    write: &[&str],
    read: &[&str],
) -> Result<Cost, Failure> {
    let before = cpu_seconds(process)?;
    let sent = client.run(broker, write)?.number("sent_bytes")? / GIB;
    let mut before_read = cpu_seconds(process)?;
    let written = (before_read - before) / sent;
    let mut cost = Cost { written, read: [0.0; 3] };
    for read_cost in &mut cost.read {
        let received = client.run(broker, read)?.number("bytes")? / GIB;
        let after = cpu_seconds(process)?;
        *read_cost = (after - before_read) / received;
        before_read = after;
    }
    Ok(cost)
}
