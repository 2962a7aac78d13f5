//! A client and its connection, whatever is asked of it meanwhile.

use std::sync::mpsc::channel;

use bytes::Bytes;
use mpreg_node::{Client, ClientConfig, Network, Settings};
use mpreg_types::{ErrorCode, NodeName};

use crate::line::{Line, SOON};
use crate::place::{Running, Scratch, ended};

fn client(scratch: &Scratch, network: &Network, address: &str) -> Client {
    let config = ClientConfig {
        name: NodeName::parse("client").unwrap(),
        cluster: None,
        addresses: vec![address.to_owned()],
        settings: Settings { secret_file: Some(scratch.path("secret")), ..Settings::default() },
    };
    Client::within(config, network.clone()).unwrap()
}

#[test]
fn a_client_that_is_closed_while_it_opens_stays_closed_and_keeps_no_connection() {
    let (scratch, network) = (Scratch::new(), Network::new());
    let node = Running::start(scratch.config("a", &[], Settings::default()), &network).unwrap();
    let client = client(&scratch, &network, "memory:a");
    let (tell, told) = channel();
    client.open(Box::new(move |result| drop(tell.send(result))));
    ended(|end| client.close(end)).unwrap();
    if let Err(error) = told.recv_timeout(SOON).unwrap() {
        assert_eq!(error.body.code, ErrorCode::ConnectionLost);
    }
    let mut line = Line::to(node.node());
    line.until("the end of its connection", || client.entry_label().is_none());
    let asked = ended(|end| client.caller().look("ping", Bytes::from_static(&[0x80]), SOON, end));
    assert_eq!(asked.unwrap_err().to_string(), "the client is closed");
}
