use std::sync::Arc;

use mpreg_transport::{AdmitError, CloseReason, Connection, FrameHandler, Incoming, Lost};
use mpreg_types::Untaken;
use tokio::sync::mpsc;

use super::{reply_head, soon};

/// What a handler heard, in order.
#[derive(Debug)]
pub(crate) enum Event {
    Opened,
    Frame(Incoming),
    Credit,
    Admitted(u64),
    Released(u64),
    Goodbye(CloseReason, Untaken),
    Closed(Lost),
}

/// What a recorder does besides writing down.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Behaviour {
    /// Returns credit for what arrives at once.
    pub(crate) consumes: bool,
    /// Answers calls with their own value.
    pub(crate) echoes: bool,
    /// Longest value that is admitted.
    pub(crate) admits: u64,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self { consumes: true, echoes: false, admits: u64::MAX }
    }
}

pub(crate) struct Recorder {
    behaviour: Behaviour,
    events: mpsc::UnboundedSender<Event>,
    answered: Option<Arc<Connection>>,
}

impl Recorder {
    pub(crate) fn new(behaviour: Behaviour) -> (Self, Events) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { behaviour, events: sender, answered: None }, Events(receiver))
    }

    fn note(&self, event: Event) {
        // A test that has seen enough no longer listens.
        let _ = self.events.send(event);
    }
}

impl FrameHandler for Recorder {
    fn opened(&mut self, _: &Arc<Connection>) {
        self.note(Event::Opened);
    }

    fn frame(&mut self, connection: &Arc<Connection>, frame: Incoming) {
        if let Incoming::Call { wire_bytes, .. } | Incoming::Reply { wire_bytes, .. } = &frame
            && self.behaviour.consumes
        {
            connection.consumed(*wire_bytes);
        }
        match frame {
            Incoming::Call { stream, head, value, .. } if self.behaviour.echoes => {
                connection.send_reply(stream, &reply_head(head.token, value.len()), &value).unwrap();
                self.answered = Some(connection.clone());
            }
            frame => self.note(Event::Frame(frame)),
        }
    }

    fn goodbye(&mut self, _: &Arc<Connection>, why: CloseReason, untaken: Untaken) {
        self.note(Event::Goodbye(why, untaken));
    }

    fn batch_end(&mut self) {
        if let Some(connection) = self.answered.take() {
            connection.flush();
        }
    }

    fn credit(&mut self, _: &Arc<Connection>) {
        self.note(Event::Credit);
    }

    fn admit(&mut self, _: &Arc<Connection>, bytes: u64) -> Result<(), AdmitError> {
        if bytes > self.behaviour.admits {
            return Err(AdmitError::NoRoom { bytes });
        }
        self.note(Event::Admitted(bytes));
        Ok(())
    }

    fn released(&mut self, _: &Arc<Connection>, bytes: u64) {
        self.note(Event::Released(bytes));
    }

    fn closed(&mut self, _: &Arc<Connection>, lost: Lost) {
        self.note(Event::Closed(lost));
    }
}

/// The other end of a [`Recorder`].
#[derive(Debug)]
pub(crate) struct Events(mpsc::UnboundedReceiver<Event>);

impl Events {
    pub(crate) async fn next(&mut self) -> Event {
        soon("the next event", self.0.recv()).await.expect("the handler is gone")
    }

    /// The next frame; opening, credit, and what is admitted and released are passed over.
    pub(crate) async fn frame(&mut self) -> Incoming {
        loop {
            match self.next().await {
                Event::Frame(frame) => return frame,
                Event::Opened
                | Event::Credit
                | Event::Admitted(_)
                | Event::Released(_)
                | Event::Goodbye(..) => {}
                other @ Event::Closed(_) => panic!("a frame was expected, and this came: {other:?}"),
            }
        }
    }

    /// The next goodbye; everything before it is passed over.
    pub(crate) async fn goodbye(&mut self) -> (CloseReason, Untaken) {
        loop {
            if let Event::Goodbye(why, untaken) = self.next().await {
                return (why, untaken);
            }
        }
    }

    /// The end; everything before it is passed over.
    pub(crate) async fn closed(&mut self) -> Lost {
        loop {
            if let Event::Closed(lost) = self.next().await {
                return lost;
            }
        }
    }

    pub(crate) async fn credit(&mut self) {
        loop {
            if let Event::Credit = self.next().await {
                return;
            }
        }
    }

    /// What has been heard and not been asked for.
    pub(crate) fn rest(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.0.try_recv().ok()).collect()
    }
}
