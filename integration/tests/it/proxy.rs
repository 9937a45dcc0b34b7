//! A proxy between the product and Postgres that understands what the product sends: it can let
//! the answer to a COMMIT be lost, hold up a COPY, and lead to another server after a failover.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// What happens to the next COMMIT of an apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It does not reach the server.
    Before,
    /// Both connections end while it is on its way.
    Amid,
    /// The server has answered, and the answer is lost.
    After,
}

#[derive(Debug, Default)]
struct Plan {
    cut: Option<Cut>,
    /// So many bytes of COPY pass, then nothing moves.
    copy_bytes: Option<usize>,
    is_held_up: bool,
}

#[derive(Debug)]
struct Shared {
    /// The port of the server.
    server: Mutex<u16>,
    plan: Mutex<Plan>,
}

/// A proxy on a port of its own, as long as the process lives.
#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Leads to the server on `port`.
    pub(crate) fn start(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            shared: Arc::new(Shared {
                server: Mutex::new(port),
                plan: Mutex::default(),
            }),
        };
        let shared = Arc::clone(&proxy.shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                thread::spawn(move || join(client, &shared));
            }
        });
        proxy
    }

    /// The address of a database behind it.
    pub(crate) fn url(&self, user: &str, database: &str) -> String {
        format!("postgresql://{user}@127.0.0.1:{}/{database}", self.port)
    }

    /// Leads new connections to the server on another port.
    pub(crate) fn lead_to(&self, port: u16) {
        *self.shared.server.lock().unwrap() = port;
    }

    /// Cuts the next COMMIT of an apply.
    pub(crate) fn cut_next(&self, cut: Cut) {
        self.shared.plan().cut = Some(cut);
    }

    /// Whether the cut that was asked for is still to come.
    pub(crate) fn is_armed(&self) -> bool {
        self.shared.plan().cut.is_some()
    }

    /// Holds up the next COPY after so many bytes.
    pub(crate) fn hold_up_copy(&self, bytes: usize) {
        self.shared.plan().copy_bytes = Some(bytes);
    }

    /// Whether a COPY is held up.
    pub(crate) fn is_held_up(&self) -> bool {
        self.shared.plan().is_held_up
    }

    /// Lets a COPY that is held up go on.
    pub(crate) fn let_go(&self) {
        self.shared.plan().is_held_up = false;
    }
}

impl Shared {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap()
    }

    /// Whether a COPY may move on by so many bytes; waits while it is held up.
    fn pass_copy(&self, bytes: usize) {
        {
            let mut plan = self.plan();
            let Some(left) = plan.copy_bytes else { return };
            plan.copy_bytes = left.checked_sub(bytes);
            if plan.copy_bytes.is_some() {
                return;
            }
            plan.is_held_up = true;
        }
        while self.plan().is_held_up {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Moves bytes both ways until one side ends.
fn join(client: TcpStream, shared: &Arc<Shared>) {
    let port = *shared.server.lock().unwrap();
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (Ok(to_client), Ok(from_server)) = (client.try_clone(), server.try_clone()) else {
        return;
    };
    let loses_answer = Arc::new(AtomicBool::new(false));
    let loses = Arc::clone(&loses_answer);
    let back = thread::spawn(move || answers(from_server, to_client, &loses));
    let mut requests = Requests {
        client,
        server,
        shared,
        loses_answer,
        is_apply: false,
    };
    // Either side may end at any moment: that is how connections end.
    let _ = requests.pass_all();
    let _ = requests.client.shutdown(Shutdown::Both);
    let _ = requests.server.shutdown(Shutdown::Both);
    let _ = back.join();
}

fn answers(mut server: TcpStream, mut client: TcpStream, loses_answer: &AtomicBool) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = server.read(&mut bytes) {
        if loses_answer.load(Ordering::SeqCst) || client.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

/// What the client sends, message by message
/// (<https://www.postgresql.org/docs/current/protocol-message-formats.html>).
struct Requests<'a> {
    client: TcpStream,
    server: TcpStream,
    shared: &'a Shared,
    loses_answer: Arc<AtomicBool>,
    /// Whether the transaction moves the progress.
    is_apply: bool,
}

impl Requests<'_> {
    fn pass_all(&mut self) -> io::Result<()> {
        while self.pass_opening()? {}
        loop {
            let mut head = [0; 5];
            self.client.read_exact(&mut head)?;
            let kind = head[0];
            let body = self.body([head[1], head[2], head[3], head[4]])?;
            if kind == b'd' {
                self.shared.pass_copy(body.len());
            }
            let cut = self.cut_of(kind, &body);
            if cut == Some(Cut::Before) {
                return Ok(());
            }
            if cut == Some(Cut::After) {
                self.loses_answer.store(true, Ordering::SeqCst);
            }
            self.server.write_all(&[&head[..], &body].concat())?;
            if cut == Some(Cut::Amid) {
                return Ok(());
            }
        }
    }

    /// Passes a message without a type; true if another such one follows, as after a request for
    /// encryption.
    fn pass_opening(&mut self) -> io::Result<bool> {
        let mut length = [0; 4];
        self.client.read_exact(&mut length)?;
        let body = self.body(length)?;
        self.server.write_all(&[&length[..], &body].concat())?;
        // Protocol 1234: requests of encryption and of cancelling.
        Ok(body.starts_with(&1234_u16.to_be_bytes()))
    }

    /// The rest of a message whose length, which counts itself, was read.
    fn body(&mut self, length: [u8; 4]) -> io::Result<Vec<u8>> {
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        let mut body = vec![0; length.saturating_sub(4)];
        self.client.read_exact(&mut body)?;
        Ok(body)
    }

    /// What is to happen to this message.
    fn cut_of(&mut self, kind: u8, body: &[u8]) -> Option<Cut> {
        match kind {
            b'Q' if body.starts_with(b"BEGIN") => self.is_apply = false,
            b'P' => {
                let text = String::from_utf8_lossy(body);
                self.is_apply |= text.contains("UPDATE \"lakeferry\".\"progress\" AS p SET (");
            }
            b'Q' if self.is_apply && body.starts_with(b"COMMIT") => {
                return self.shared.plan().cut.take();
            }
            _ => {}
        }
        None
    }
}
